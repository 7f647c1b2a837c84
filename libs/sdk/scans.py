"""What the API answers about scans; fields this version does not know are ignored, as in models."""

from __future__ import annotations

from msgspec import Struct


class SecretFinding(Struct, frozen=True):
    """A secret in a source: where and what, never itself."""

    path: str
    line: int
    rule: str
    title: str
    severity: str


class Vulnerability(Struct, frozen=True):
    """A known vulnerability of a package."""

    id: str
    package: str
    version: str
    severity: str
    fixed: str | None = None
    title: str | None = None
    url: str | None = None


class ScannedBill(Struct, frozen=True):
    """The bill of materials: `state` is done or not_scanned."""

    state: str
    packages: int
    notes: list[str]
    by: str | None = None
    why: str | None = None
    digest: str | None = None


class ScannedSecrets(Struct, frozen=True):
    """Secrets in the source; `more` are counted and not listed."""

    state: str
    files: int
    ignored: int
    more: int
    findings: list[SecretFinding]
    notes: list[str]
    why: str | None = None


class ScannedVulnerabilities(Struct, frozen=True):
    """Known vulnerabilities; `state` may also be nothing_to_scan."""

    state: str
    more: int
    findings: list[Vulnerability]
    by: str | None = None
    why: str | None = None
    database: str | None = None


class Scan(Struct, frozen=True):
    """What the scan of a build's source found."""

    policy: str
    severity: str
    policy_from: str
    summary: str
    sbom: ScannedBill
    secrets: ScannedSecrets
    vulnerabilities: ScannedVulnerabilities
    blocked: str | None = None

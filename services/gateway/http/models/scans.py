"""What scans found."""

from __future__ import annotations

from typing import Self

from pydantic import Field

from libs.protogen.lightrail.build.v1 import build_pb2
from services.gateway.http.models.base import Answered
from services.gateway.http.wire import text

_STATE = "done or not_scanned; done with no findings is all that can be said, nothing is called clean."


class SecretFinding(Answered):
    """A secret in a source: where and what, never itself."""

    path: str
    line: int
    rule: str
    title: str
    severity: str = Field(description="low, medium, high or critical.")

    @classmethod
    def of(cls, wire: build_pb2.SecretFinding) -> Self:
        """Reads it from its message."""
        return cls(path=wire.path, line=wire.line, rule=wire.rule, title=wire.title, severity=wire.severity)


class Vulnerability(Answered):
    """A known vulnerability of a package."""

    id: str
    package: str
    version: str
    severity: str = Field(description="unknown, low, medium, high or critical.")
    fixed: str | None = Field(description="Versions that mend it.")
    title: str | None
    url: str | None

    @classmethod
    def of(cls, wire: build_pb2.Vulnerability) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            package=wire.package,
            version=wire.version,
            severity=wire.severity,
            fixed=text(wire.fixed),
            title=text(wire.title),
            url=text(wire.url),
        )


class ScannedBill(Answered):
    """The software bill of materials."""

    state: str = Field(description=_STATE)
    by: str | None = Field(description="Where the packages come from: lock files, or Syft with its version.")
    why: str | None = Field(description="Why it was not scanned.")
    digest: str | None
    packages: int
    notes: list[str] = Field(description="What could not be read, in sentences.")


class ScannedSecrets(Answered):
    """Secrets in the source."""

    state: str = Field(description=_STATE)
    why: str | None = Field(description="Why it was not scanned.")
    files: int = Field(description="Files that were looked at.")
    findings: list[SecretFinding]
    more: int = Field(description="Findings that are counted, not listed.")
    ignored: int = Field(description="Secrets that the source itself allows.")
    notes: list[str]


class ScannedVulnerabilities(Answered):
    """Known vulnerabilities of the packages."""

    state: str = Field(description="done, not_scanned or nothing_to_scan.")
    by: str | None
    why: str | None = Field(description="Why it was not scanned.")
    database: str | None = Field(description="Day of the list of vulnerabilities, like 2026-11-20.")
    findings: list[Vulnerability]
    more: int = Field(description="Findings that are counted, not listed.")


class Scan(Answered):
    """What the scan of a build's source found."""

    policy: str = Field(description="warn or block, from `severity` on.")
    severity: str
    policy_from: str = Field(description="project, or lightrail.toml where that is stricter.")
    sbom: ScannedBill
    secrets: ScannedSecrets
    vulnerabilities: ScannedVulnerabilities
    summary: str
    blocked: str | None = Field(description="Why the build was ended.")

    @classmethod
    def of(cls, wire: build_pb2.Scan) -> Self:
        """Reads it from its message."""
        bill, secrets, known = wire.sbom, wire.secrets, wire.vulnerabilities
        return cls(
            policy=wire.policy,
            severity=wire.severity,
            policy_from=wire.policy_from,
            sbom=ScannedBill(
                state=bill.state,
                by=text(bill.by),
                why=text(bill.why),
                digest=text(wire.sbom_digest),
                packages=wire.packages,
                notes=list(bill.notes),
            ),
            secrets=ScannedSecrets(
                state=secrets.state,
                why=text(secrets.why),
                files=wire.files,
                findings=[SecretFinding.of(one) for one in wire.secret_findings],
                more=secrets.more,
                ignored=wire.ignored,
                notes=list(secrets.notes),
            ),
            vulnerabilities=ScannedVulnerabilities(
                state=known.state,
                by=text(known.by),
                why=text(known.why),
                database=text(wire.database),
                findings=[Vulnerability.of(one) for one in wire.vulnerability_findings],
                more=known.more,
            ),
            summary=wire.summary,
            blocked=text(wire.blocked),
        )

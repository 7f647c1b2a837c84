"""Trivy: how it is asked, and what it answers."""

from __future__ import annotations

import json
from typing import Final

from libs.scan.locks.reading import Unreadable, rows, table, text
from libs.scan.severity import severity_of
from libs.scan.vulnerability import Vulnerability

_LONGEST: Final = 300


def ask(program: str, sbom: str, cache: str, *, repository: str = "", seconds: int) -> list[str]:
    """The command that looks up the packages of a bill of materials. Without a mirror it never goes to the network."""
    fetch = ["--db-repository", repository] if repository else ["--skip-db-update"]
    return [
        program, "sbom", "--format", "json", "--quiet", "--scanners", "vuln", "--skip-java-db-update", "--offline-scan",
        *fetch, "--cache-dir", cache, "--timeout", f"{seconds}s", sbom,
    ]  # fmt: skip


def read_answer(output: str) -> list[Vulnerability]:
    """The vulnerabilities, the worst first, each once. Unreadable when this is no answer of Trivy's."""
    try:
        answer = table(json.loads(output))
    except (json.JSONDecodeError, RecursionError) as error:
        raise Unreadable("its answer is no JSON") from error
    if "SchemaVersion" not in answer:
        raise Unreadable("its answer has no SchemaVersion")
    found: dict[tuple[str, str, str], Vulnerability] = {}
    for result in rows(answer.get("Results")):
        for entry in rows(result.get("Vulnerabilities")):
            one = Vulnerability(
                id=text(entry.get("VulnerabilityID")),
                package=text(entry.get("PkgName")),
                version=text(entry.get("InstalledVersion")),
                severity=severity_of(entry.get("Severity")),
                fixed=text(entry.get("FixedVersion")),
                title=text(entry.get("Title"))[:_LONGEST],
                url=text(entry.get("PrimaryURL"))[:_LONGEST],
            )
            if one.id and one.package:
                found[one.id, one.package, one.version] = one
    return sorted(found.values(), key=lambda one: one.order)


def database_date(metadata: str) -> str:
    """The day the database was made, from its metadata.json, like 2026-11-20; empty when that does not say."""
    try:
        told = table(json.loads(metadata))
    except (json.JSONDecodeError, RecursionError):
        return ""
    return text(told.get("UpdatedAt"))[:10]

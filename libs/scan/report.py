"""What a scan came to: three parts, each scanned or not, and what the project's policy makes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from libs.scan.locks.reading import rows, table, text, words
from libs.scan.secrets.look import SecretFinding
from libs.scan.severity import Action, Policy, policy_of, severity_of, tally
from libs.scan.vulnerability import Vulnerability

# Findings of one kind that are kept; the rest is counted.
MOST_FINDINGS: Final = 500
# Findings that one sentence names.
_NAMED: Final = 5


class State(StrEnum):
    """Whether a part was scanned. There is no “clean”: done, with no findings, is all that can be said."""

    DONE = "done"
    NOT_SCANNED = "not_scanned"
    # There was nothing that a scanner could look at.
    NOTHING = "nothing_to_scan"


@dataclass(frozen=True, slots=True)
class Bill:
    """The bill of materials: who made it, and its digest in the blob store."""

    state: State
    by: str = ""
    why: str = ""
    digest: str = ""
    packages: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Secrets:
    """Secrets in the source; `ignored` were allowed by the source itself, `more` are not listed."""

    state: State
    why: str = ""
    files: int = 0
    findings: tuple[SecretFinding, ...] = ()
    ignored: int = 0
    more: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Vulnerabilities:
    """Known vulnerabilities of the packages; `database` says when its list was made."""

    state: State
    by: str = ""
    why: str = ""
    database: str = ""
    findings: tuple[Vulnerability, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """One scan."""

    policy: Policy
    sbom: Bill
    secrets: Secrets
    vulnerabilities: Vulnerabilities
    # Where the policy comes from when the source tightened it.
    policy_from: str = field(default="project")

    @property
    def counted_secrets(self) -> list[SecretFinding]:
        """Those that the policy is about."""
        return [one for one in self.secrets.findings if self.policy.counts(one.severity)]

    @property
    def counted_vulnerabilities(self) -> list[Vulnerability]:
        """Those that the policy is about."""
        return [one for one in self.vulnerabilities.findings if self.policy.counts(one.severity)]

    @property
    def blocked(self) -> str:
        """Why the build must not go on, and what to do; empty: it may."""
        if self.policy.action is not Action.BLOCK:
            return ""
        found = [*self._found(), *self._unknown()]
        if not found:
            return ""
        what = f"The scan policy blocks builds with findings of severity {self.policy.severity} or worse"
        return f"{what}: {' '.join(found)}"

    @property
    def summary(self) -> str:
        """A few words for people."""
        return f"{self._bill()}; {self._secrets()}; {self._vulnerabilities()}"

    def lines(self) -> list[str]:
        """The report as lines of a log; it holds no secret."""
        return [
            f"software bill of materials: {self._bill()}",
            *(f"note: {note}" for note in (*self.sbom.notes, *self.secrets.notes)),
            self._secrets(),
            *(f"{one.severity}: {name(one)}" for one in self.secrets.findings),
            self._vulnerabilities(),
            *(f"{one.severity}: {one.named}" for one in self.vulnerabilities.findings),
        ]

    def document(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "version": 1,
            "policy": {"action": self.policy.action.value, "severity": self.policy.severity.value},
            "policy_from": self.policy_from,
            "sbom": {
                "state": self.sbom.state.value,
                "by": self.sbom.by,
                "why": self.sbom.why,
                "digest": self.sbom.digest,
                "packages": self.sbom.packages,
                "notes": list(self.sbom.notes),
            },
            "secrets": {
                "state": self.secrets.state.value,
                "why": self.secrets.why,
                "files": self.secrets.files,
                "findings": [secret_document(one) for one in self.secrets.findings],
                "ignored": self.secrets.ignored,
                "more": self.secrets.more,
                "notes": list(self.secrets.notes),
            },
            "vulnerabilities": {
                "state": self.vulnerabilities.state.value,
                "by": self.vulnerabilities.by,
                "why": self.vulnerabilities.why,
                "database": self.vulnerabilities.database,
                "findings": [one.document() for one in self.vulnerabilities.findings],
                "more": self.vulnerabilities.more,
            },
        }

    def _found(self) -> list[str]:
        told = []
        if secrets := self.counted_secrets:
            named = _listed([name(one) for one in secrets], self.secrets.more)
            told.append(
                f"{named}. Take them out of the source and replace them where they are used (they are known to everyone"
                " who has the source), or allow them in .lightrail-scan-ignore."
            )
        if known := self.counted_vulnerabilities:
            named = _listed([one.named for one in known], self.vulnerabilities.more)
            told.append(f"{named}. Go over to fixed versions, or set the project's scan policy to warn.")
        return told

    def _unknown(self) -> list[str]:
        """What could not be looked at: who blocks wants to know."""
        parts = (("secrets", self.secrets), ("vulnerabilities", self.vulnerabilities), ("packages", self.sbom))
        missing = [f"{what} ({part.why})" for what, part in parts if part.state is State.NOT_SCANNED]
        if not missing:
            return []
        told = (
            f"not scanned: {', '.join(missing)}. Nobody knows what would be found. Ask the operator for the scanner,"
            " or set the project's scan policy to warn."
        )
        return [told]

    def _bill(self) -> str:
        bill = self.sbom
        if bill.state is State.NOT_SCANNED:
            return f"packages not scanned: {bill.why}"
        return f"{_many(bill.packages, 'package')} from {bill.by}" if bill.packages else "no packages with versions"

    def _secrets(self) -> str:
        part = self.secrets
        if part.state is State.NOT_SCANNED:
            return f"secrets not scanned: {part.why}"
        ignored = f", {part.ignored} allowed by the source" if part.ignored else ""
        if not part.findings:
            return f"no secrets found in {_many(part.files, 'file')}{ignored}"
        total = len(part.findings) + part.more
        counts = tally(Counter(one.severity for one in part.findings))
        return f"{_many(total, 'secret')} in the source ({counts}){ignored}"

    def _vulnerabilities(self) -> str:
        part = self.vulnerabilities
        if part.state is State.NOT_SCANNED:
            return f"vulnerabilities not scanned: {part.why}"
        if part.state is State.NOTHING:
            return "no packages to look up vulnerabilities of"
        told = f"{part.by}, database of {part.database}" if part.database else part.by
        if not part.findings:
            return f"no known vulnerabilities ({told})"
        total = len(part.findings) + part.more
        plural = "y" if total == 1 else "ies"
        counts = tally(Counter(one.severity for one in part.findings))
        return f"{total} known vulnerabilit{plural}: {counts} ({told})"


def name(finding: SecretFinding) -> str:
    """The finding in words: where and what, never the secret."""
    return f"{finding.path}:{finding.line} ({finding.title}{f', {finding.shown}' if finding.shown != '…' else ''})"


def secret_document(one: SecretFinding) -> dict[str, Any]:
    """A finding as plain JSON values."""
    return {
        "path": one.path,
        "line": one.line,
        "rule": one.rule,
        "title": one.title,
        "severity": one.severity.value,
        "shown": one.shown,
    }


def secret_of(value: Mapping[str, Any]) -> SecretFinding:
    """The finding that `secret_document` described."""
    line = value.get("line")
    return SecretFinding(
        text(value.get("path")),
        line if isinstance(line, int) else 0,
        text(value.get("rule")),
        text(value.get("title")),
        severity_of(value.get("severity")),
        text(value.get("shown")),
    )


def report_of(document: Mapping[str, Any]) -> Report:
    """The report that `document()` described."""
    policy, bill = table(document.get("policy")), table(document.get("sbom"))
    secrets, known = table(document.get("secrets")), table(document.get("vulnerabilities"))
    return Report(
        policy=policy_of(text(policy.get("action")), text(policy.get("severity"))),
        policy_from=text(document.get("policy_from")),
        sbom=Bill(
            State(bill["state"]), bill["by"], bill["why"], bill["digest"], bill["packages"], words(bill["notes"])
        ),
        secrets=Secrets(
            State(secrets["state"]),
            secrets["why"],
            secrets["files"],
            tuple(secret_of(one) for one in rows(secrets["findings"])),
            secrets["ignored"],
            secrets["more"],
            words(secrets["notes"]),
        ),
        vulnerabilities=Vulnerabilities(
            State(known["state"]),
            known["by"],
            known["why"],
            known["database"],
            tuple(Vulnerability.of(one) for one in rows(known["findings"])),
            known["more"],
        ),
    )


def _listed(named: list[str], more: int) -> str:
    rest = len(named) - _NAMED + more
    return ", ".join(named[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"

"""How bad a finding is, and what a project wants to be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from libs.kernel.errors import Invalid


class Severity(StrEnum):
    """How bad; unknown is what the advisory does not say."""

    UNKNOWN = "unknown"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Higher is worse."""
        return _RANKS[self]


_RANKS: Final = {severity: place for place, severity in enumerate(Severity)}
THRESHOLDS: Final = tuple(severity.value for severity in Severity if severity is not Severity.UNKNOWN)


class Action(StrEnum):
    """What findings do to a build."""

    WARN = "warn"
    BLOCK = "block"


@dataclass(frozen=True, slots=True)
class Policy:
    """Findings at `severity` and above are warned of, or end the build."""

    action: Action = Action.WARN
    severity: Severity = Severity.HIGH

    def counts(self, severity: Severity) -> bool:
        """Whether a finding is bad enough. What nobody has rated counts from medium on."""
        rated = Severity.MEDIUM if severity is Severity.UNKNOWN else severity
        return rated.rank >= self.severity.rank

    def tightened(self, other: Policy | None) -> Policy:
        """The stricter of both in each respect: who writes the source may ask for more care, never for less."""
        if other is None:
            return self
        block = Action.BLOCK in {self.action, other.action}
        severity = min(self.severity, other.severity, key=lambda one: one.rank)
        return Policy(Action.BLOCK if block else Action.WARN, severity)


def policy_of(action: str, severity: str, *, within: str = "scan_") -> Policy:
    """The policy that these words name; empty ones are the defaults. Invalid names the field `within` + name."""
    if action not in {"", *Action}:
        raise Invalid(f"“{action}” is no scan policy: warn or block.", field=f"{within}policy")
    if severity not in {"", *THRESHOLDS}:
        words = ", ".join(THRESHOLDS)
        raise Invalid(f"“{severity}” is no severity: one of {words}.", field=f"{within}severity")
    plain = Policy()
    return Policy(Action(action) if action else plain.action, Severity(severity) if severity else plain.severity)


def severity_of(word: object) -> Severity:
    """The severity that a scanner names, in any case; unknown when it names none that we know."""
    return _NAMES.get(word.lower(), Severity.UNKNOWN) if isinstance(word, str) else Severity.UNKNOWN


_NAMES: Final[Mapping[str, Severity]] = {
    **{severity.value: severity for severity in Severity},
    "negligible": Severity.LOW,
    "moderate": Severity.MEDIUM,
    "important": Severity.HIGH,
}


def tally(severities: Mapping[str, Any]) -> str:
    """Counts by severity in words, the worst first: "2 critical, 1 low"."""
    ordered = sorted(Severity, key=lambda one: -one.rank)
    return ", ".join(f"{severities[one]} {one}" for one in ordered if severities.get(one))

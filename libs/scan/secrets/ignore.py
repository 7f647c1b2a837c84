""".lightrail-scan-ignore: secrets that may be where they are."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass
from typing import Final

from libs.scan.secrets.look import GENERIC, SecretFinding
from libs.scan.secrets.rules import RULES

NAME: Final = ".lightrail-scan-ignore"
MOST_LINES: Final = 200
_MOST_STARS: Final = 4
_NAMES: Final = frozenset({GENERIC, *(rule.name for rule in RULES)})


@dataclass(frozen=True, slots=True)
class Ignore:
    """Pairs of a rule's name (empty: every rule) and a pattern of paths, and what is wrong with the file."""

    lines: tuple[tuple[str, re.Pattern[str]], ...] = ()
    notes: tuple[str, ...] = ()

    def allows(self, finding: SecretFinding) -> bool:
        """Whether the file says that this may be there."""
        return any(rule in {"", finding.rule} and paths.match(finding.path) for rule, paths in self.lines)


def read_ignore(content: str) -> Ignore:
    """The lines of the file: a pattern of paths (* and ? as in a shell, * also over folders), or a rule and one."""
    lines: list[tuple[str, re.Pattern[str]]] = []
    notes: list[str] = []
    for number, raw in enumerate(content.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if len(lines) >= MOST_LINES:
            notes.append(f"{NAME}, line {number}: only {MOST_LINES} lines are read.")
            break
        first, _, rest = line.partition(" ")
        rule, pattern = (first, rest.strip() or "*") if first in _NAMES else ("", line)
        if pattern.count("*") > _MOST_STARS:
            notes.append(f"{NAME}, line {number}: a pattern may hold {_MOST_STARS} stars; this one is not used.")
            continue
        pattern = pattern.removeprefix("/")
        lines.append((rule, re.compile(fnmatch.translate(pattern + "*" if pattern.endswith("/") else pattern))))
    return Ignore(tuple(lines), tuple(notes))

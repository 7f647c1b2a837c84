"""Version constraints of language runtimes: which of those at hand satisfies what the source asks for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

Version = tuple[int, int, int]
_OPERATOR: Final = r"(===|==|~=|~>|!=|<=|>=|<|>|\^|~|=)?\s*"
_TERM: Final = re.compile(rf"^{_OPERATOR}v?(\d+)((?:\.\d+)*)\S*$")
# The same with nothing behind the number but what npm and Python know: a wildcard, a pre-release, a build.
_UNDERSTOOD: Final = re.compile(
    rf"^{_OPERATOR}(?:v?\d{{1,9}}(?:\.\d{{1,9}})*(?:\.[*xX])*"
    r"(?:[-+][\w.+-]+|(?:[._]?(?:a|b|c|rc|alpha|beta|pre|dev|post|t)\d*)+)?|[*xX](?:\.[*xX])*)$"
)
_UNDERSTOOD_IN: Final = frozenset({"node", "python"})
# Of languages that have more than releases, as Rust.
_CHANNELS: Final = frozenset({"nightly", "beta", "canary", "dev", "edge", "head", "main"})
_OR: Final = re.compile(r"\|\|?")
# Words that mean "whatever is current": no constraint.
_CURRENT: Final = frozenset({"latest", "lts", "lts/*", "stable", "current", "node", "system", "*", "x"})
# What Node's releases with long support are called.
_LTS: Final = {
    "argon": "4", "boron": "6", "carbon": "8", "dubnium": "10", "erbium": "12", "fermium": "14", "gallium": "16",
    "hydrogen": "18", "iron": "20", "jod": "22", "krypton": "24",
}  # fmt: skip


def parse_version(text: str) -> Version:
    """Reads "3.11.7" or "v20.1" (missing parts are 0)."""
    numbers = [int(part) for part in re.findall(r"\d+", text)[:3]]
    padded = [*numbers, 0, 0, 0]
    return padded[0], padded[1], padded[2]


def satisfies(version: Version, constraint: str) -> bool:
    """Whether `version` is allowed by e.g. ">=3.11,<4", "^3.11", "20.x", ">=18 <23 || 24"; unknown terms allow all."""
    return any(all(_allows(version, term) for term in _terms(alternative)) for alternative in _OR.split(constraint))


def alias(text: str) -> str | None:
    """What a name stands for: nothing for "latest" and its like, "20" for "lts/iron"; None when it is no such name."""
    word = text.strip().lower()
    kind, _, name = word.replace("lts-", "lts/").partition("/")
    return "" if word in _CURRENT else _LTS.get(name) if kind == "lts" else None


def is_constraint(text: str, name: str) -> bool:
    """Whether this says which versions of a runtime or tool are meant; of Node and Python every term must be one."""
    if not text.strip() or alias(text) is not None:
        return True
    if name not in _UNDERSTOOD_IN:
        return re.search(r"\d", text) is not None or text.strip() in _CHANNELS
    return all(_UNDERSTOOD.match(term) for alternative in _OR.split(text) for term in _terms(alternative))


def newest(versions: Iterable[Version], constraint: str) -> Version | None:
    """The newest allowed one, or None."""
    return max((version for version in versions if satisfies(version, constraint)), default=None)


def reaches(line: str, constraint: str) -> bool:
    """Whether some release of a line ("22", "3.11") is allowed: its first, a late one, one named or its next."""
    length = line.count(".") + 1
    start = parse_version(line)
    named = [parse_version(text) for text in re.findall(r"\d+(?:\.\d+)*", constraint)]
    following = [one for major, minor, patch in named for one in ((major, minor, patch + 1), (major, minor + 1, 0))]
    late = parse_version(f"{line}.999.999")
    return any(
        version[:length] == start[:length] and satisfies(version, constraint)
        for version in (start, late, *named, *following)
    )


def show_version(version: Sequence[int]) -> str:
    """As people write it: "3.11.7"."""
    return ".".join(str(part) for part in version)


def _terms(alternative: str) -> list[str]:
    spaced = re.sub(r"([=<>^~!])\s+", r"\1", alternative.strip())
    hyphen = re.match(r"^(\S+)\s+-\s+(\S+)$", spaced)
    if hyphen:
        return [f">={hyphen[1]}", f"<={hyphen[2]}"]
    return [term for term in re.split(r"[,\s]+", spaced) if term]


def _allows(version: Version, term: str) -> bool:
    match = _TERM.match(term)
    if match is None:
        return True
    operator = match[1] or "="
    given = tuple(int(part) for part in (match[2] + match[3]).split("."))[:3]
    same = version[: len(given)] == given
    base = parse_version(show_version(given))
    if operator in {"^", "~=", "~>", "~"}:
        return version >= base and version[: _fixed(operator, given)] == base[: _fixed(operator, given)]
    return {
        ">=": version >= base,
        ">": version > base and not same,
        "<": version < base,
        "<=": version <= base or same,
        "!=": not same,
    }.get(operator, same)


def _fixed(operator: str, given: tuple[int, ...]) -> int:
    """How many leading parts may not change: ^1.2 and ~=1.2 keep one, ^0.3, ~1.2 and ~=1.2.3 keep two; ~> is ~=."""
    if operator == "~":
        return min(2, len(given))
    if operator in {"~=", "~>"}:
        return max(1, len(given) - 1)
    return 1 if given[0] > 0 else 2

"""What services and environments may be called: their names become parts of host names."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from libs.kernel.errors import Invalid

# The word that stands for an environment's shared variables in a reference.
SHARED_WORD: Final = "shared"
MAX_SLUG: Final = 40

_SLUG: Final = re.compile(rf"[a-z0-9]([a-z0-9-]{{0,{MAX_SLUG - 2}}}[a-z0-9])?")
_BETWEEN: Final = re.compile(r"[^a-z0-9]+")
# Joiners that scripts and emoji need; every other invisible character is refused.
_JOINERS: Final = "\u200c\u200d"
_SHOWN: Final = 40


def service_name(text: str) -> str:
    """Returns the trimmed name; Invalid, with a proposal, when it cannot be part of a host name."""
    name = _slug("service", text)
    if name == SHARED_WORD:
        raise Invalid(
            f"A service cannot be called “{SHARED_WORD}”: that word stands for the shared variables.", field="name"
        )
    return name


def environment_name(text: str) -> str:
    """Returns the trimmed name; Invalid, with a proposal, when it cannot be part of a host name."""
    return _slug("environment", text)


def proposal(text: str) -> str:
    """Returns the nearest name that would be accepted, or "" when nothing in `text` can be kept."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return _BETWEEN.sub("-", plain).strip("-")[:MAX_SLUG].strip("-")


def shown(text: str) -> str:
    """Returns `text` as it may stand in a message: one line, not too long, nothing invisible."""
    line = "".join("·" if invisible(character) else character for character in text)
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _slug(kind: str, text: str) -> str:
    name = text.strip()
    if _SLUG.fullmatch(name) and not name.startswith("xn--"):
        return name
    said = (
        f"“{shown(name)}” cannot name a{'n' if kind == 'environment' else ''} {kind}"
        if name
        else f"The {kind} has no name"
    )
    better = proposal(name)
    raise Invalid(
        f"{said}: it becomes part of a host name, so it is 1 to {MAX_SLUG} characters of a–z, 0–9 and “-”, "
        "with a letter or digit first and last.",
        field="name",
        hint=f"Try “{better}”." if better else None,
    )


def invisible(character: str) -> bool:
    """Returns whether nobody sees the character; joiners that scripts and emoji need are not meant."""
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} and character not in _JOINERS

"""What people type: each function returns the clean form, or raises Invalid with a sentence."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from libs.kernel.errors import Invalid

SHORTEST_PASSWORD: Final = 10
LONGEST_PASSWORD: Final = 1_024
LONGEST_NAME: Final = 100
LONGEST_EMAIL: Final = 254  # RFC 5321, 4.5.3.1.3: 256 with its angle brackets
LONGEST_LOCAL_PART: Final = 64  # RFC 5321, 4.5.3.1.1
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# The HTML standard's pattern for e-mail fields, lower-case. One label is enough: operator@localhost is a real address.
_EMAIL: Final = re.compile(rf"([a-z0-9.!#$%&'*+/=?^_`{{|}}~-]+)@{_LABEL}(?:\.{_LABEL})*", re.ASCII)


def email(text: str) -> str:
    """Returns the address without surrounding space, in lower case."""
    address = text.strip().lower()
    match = _EMAIL.fullmatch(address) if len(address) <= LONGEST_EMAIL else None
    if match is None or len(match[1]) > LONGEST_LOCAL_PART:
        shown = address if len(address) <= LONGEST_NAME and address.isprintable() else "This"
        raise Invalid(
            f"{shown or 'An empty text'} is no e-mail address.",
            field="email",
            hint="Write it as in ada@example.com; domains with other letters in their xn-- form.",
        )
    return address


def password(text: str, *, address: str = "") -> str:
    """Returns the password in one Unicode form (NFC), so that every keyboard spells it alike (RFC 8265)."""
    normalized = normal(text)
    if len(normalized) < SHORTEST_PASSWORD:
        raise Invalid(
            f"The password is too short: it has {len(normalized)} characters and needs {SHORTEST_PASSWORD}.",
            field="password",
            hint="Four or five words that do not belong together are easy to keep in mind.",
        )
    if len(normalized) > LONGEST_PASSWORD:
        raise Invalid(f"The password is too long: at most {LONGEST_PASSWORD:,} characters.", field="password")
    if address and normalized.casefold() == address:
        raise Invalid("The password is the e-mail address: anyone would try that first.", field="password")
    return normalized


def normal(text: str) -> str:
    """Returns a password in the form that is hashed, without judging it."""
    return unicodedata.normalize("NFC", text)


def name(text: str, *, of: str) -> str:
    """Returns the name without surrounding space; `of` says whose name it is, for the message."""
    trimmed = unicodedata.normalize("NFC", text).strip()
    if not trimmed:
        raise Invalid(f"The {of} needs a name.", field="name")
    if len(trimmed) > LONGEST_NAME:
        raise Invalid(
            f"The name of the {of} is too long: it has {len(trimmed)} characters and may have {LONGEST_NAME}.",
            field="name",
        )
    if any(_hidden(character) for character in trimmed):
        raise Invalid(f"The name of the {of} has invisible or control characters in it.", field="name")
    return trimmed


def _hidden(character: str) -> bool:
    """Control, line and paragraph separators, and the bidirectional marks that make a text look like another."""
    return unicodedata.category(character) in {"Cc", "Cs", "Co", "Zl", "Zp"} or character in _BIDIRECTIONAL


_BIDIRECTIONAL: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

"""Which values must never be readable in a log, told from their names and from what they look like."""

from __future__ import annotations

import re
from typing import Final

_NAME: Final = re.compile(r"PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|KEY|CREDENTIAL|PRIVATE|DSN", re.IGNORECASE)
# A URL with a password in it, a private key, and tokens that their makers gave a shape.
# The places where a match may begin are few, so that a long value costs no more than one look at each character.
_VALUE: Final = re.compile(
    r"(?<![\w+.-])[A-Za-z][\w+.-]*://[^\s/@:?#]*:[^\s/@?#]+@"
    r"|-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----"
    r"|\bgh[pousr]_[A-Za-z0-9]{20}|\bgithub_pat_\w{20}|\bglpat-[\w-]{20}"
    r"|\b(?:sk|rk)_(?:live|test)_\w{10}|\bxox[abeprs]-[\w-]{10}"
    r"|\bA(?:KIA|SIA)[A-Z0-9]{16}\b|\bAIza[\w-]{35}"
    r"|(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]",
)
_URL: Final = re.compile(r"_?UR[IL]$", re.IGNORECASE)
_USERINFO: Final = re.compile(r"^[a-z][a-z0-9+.-]*://[^\s/@]+@", re.IGNORECASE)


def looks_secret(name: str, value: str) -> bool:
    """Returns whether a variable is masked though nobody sealed it; an empty value hides nothing."""
    if not value:
        return False
    return bool(_NAME.search(name) or _VALUE.search(value) or (_URL.search(name) and _USERINFO.search(value)))

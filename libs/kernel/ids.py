"""Typed ids: a prefix that names the thing, and a UUIDv7 inside, so that ids sort by age."""

from __future__ import annotations

import re
import secrets
import threading
from typing import Final

from libs.kernel.clock import Clock

PREFIXES: Final = {
    "user": "usr",
    "workspace": "wsp",
    "membership": "mbr",
    "token": "tok",
    "session": "ses",
    "project": "prj",
    "environment": "env",
    "service": "svc",
    "snapshot": "snp",
    "build": "bld",
    "push": "psh",
    "deployment": "dep",
    "release": "rel",
    "instance": "ins",
    "run": "run",
    "name": "nam",
    "fact": "fct",
    "request": "req",
}
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford base 32, as in ULID
_LENGTH: Final = 26
_SHAPE: Final = re.compile(rf"^({'|'.join(PREFIXES.values())})_[{_ALPHABET}]{{{_LENGTH}}}$")
_lock = threading.Lock()
_last = 0


def new_id(kind: str, clock: Clock) -> str:
    """Makes an id of `kind` (a key of PREFIXES); ids made by one process grow strictly."""
    global _last  # noqa: PLW0603 - one process, one order
    millis = int(clock.now().timestamp() * 1000)
    random = secrets.randbits(80)
    # RFC 9562 version 7: 48 bits of time, version, 12 + 62 random bits with the variant between.
    value = (millis << 80) | (0x7 << 76) | ((random >> 68 & 0xFFF) << 64) | (0b10 << 62) | (random & (1 << 62) - 1)
    with _lock:
        if value >> 80 <= _last >> 80 and value <= _last:
            value = _last + 1
        _last = value
    return f"{PREFIXES[kind]}_{_encode(value)}"


def is_id(text: str, kind: str | None = None) -> bool:
    """Whether `text` has the shape of an id, of this kind when one is given."""
    if not _SHAPE.match(text):
        return False
    return kind is None or text.startswith(PREFIXES[kind] + "_")


def _encode(value: int) -> str:
    digits = []
    for _ in range(_LENGTH):
        value, rest = divmod(value, 32)
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))

"""Amounts are integers whose type names the unit."""

from __future__ import annotations

import re
from typing import Final, NewType

from libs.kernel.errors import Invalid

Millicores = NewType("Millicores", int)
Bytes = NewType("Bytes", int)
Microseconds = NewType("Microseconds", int)
MicroUSD = NewType("MicroUSD", int)

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB
_SIZES: Final = {"": 1, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": 1024 * GIB}
_SIZE: Final = re.compile(r"^(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?$", re.IGNORECASE)


def parse_bytes(text: str) -> Bytes:
    """Reads "512MiB", "1.5g", "4096"; powers of 1024. Invalid when it is no size."""
    match = _SIZE.match(text.strip())
    if not match:
        raise Invalid(f"“{text}” is no size.", hint="Write a number with a unit, as in 512MiB.")
    return Bytes(int(float(match[1]) * _SIZES[match[2].lower()]))


def show_bytes(amount: int) -> str:
    """Prints an amount as a person reads it: "1.5 MiB"."""
    value = float(amount)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < KIB or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= KIB
    raise AssertionError("unreachable")

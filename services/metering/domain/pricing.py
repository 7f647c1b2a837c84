"""What use costs: exact until the end, rounded once.

A price is a whole number of picodollars (10⁻¹² USD) for a whole number of units, because the price of a single unit is
no whole number of anything: $0.000463 for a vCPU-minute is 7.716… picodollars a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from typing import Final

from libs.kernel.units import MicroUSD
from services.metering.domain.model import Use

PICO_PER_MICRO: Final = 1_000_000


class Resource(StrEnum):
    """What is paid for; each is counted in its own smallest unit."""

    # microseconds of one core
    CPU = "cpu"
    # byte-seconds
    MEMORY = "memory"
    # bytes
    EGRESS = "egress"


@dataclass(frozen=True, slots=True)
class Price:
    """So many picodollars for so many units."""

    pico_usd: int
    units: int


Prices = Mapping[Resource, Price]


def cost(use: Use, prices: Prices) -> MicroUSD:
    """Returns what one line of a bill costs, in microdollars; a half goes to the even neighbour. No price is free."""
    amounts = {
        Resource.CPU: use.cpu_microseconds,
        Resource.MEMORY: use.memory_byte_seconds,
        Resource.EGRESS: use.egress_bytes,
    }
    pico = sum(
        (Fraction(amounts[resource] * price.pico_usd, price.units) for resource, price in prices.items()),
        Fraction(0),
    )
    return MicroUSD(round(pico / PICO_PER_MICRO))


def total(lines: Iterable[MicroUSD]) -> MicroUSD:
    """Returns the sum of the lines as they are printed, so that anybody can add a bill up."""
    return MicroUSD(sum(lines))

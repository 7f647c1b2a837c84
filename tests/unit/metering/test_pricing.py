"""Money is exact until the end, is rounded once, and adds up."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.metering.domain.model import Use
from services.metering.domain.pricing import Price, Prices, Resource, cost, total

# As the first migration writes them; the integration tests compare.
PRICES: Prices = {
    Resource.CPU: Price(463_000_000, 60_000_000),
    Resource.MEMORY: Price(231_000_000, 60_000_000_000),
    Resource.EGRESS: Price(50_000_000_000, 1_000_000_000),
}
MINUTE = 60
GB = 1_000_000_000
AMOUNTS = st.builds(Use, st.integers(0, 2**62), st.integers(0, 2**62), st.integers(0, 2**62))


@pytest.mark.parametrize(
    ("use", "micro_usd"),
    [
        (Use(), 0),
        (Use(cpu_microseconds=MINUTE * 1_000_000), 463),
        (Use(memory_byte_seconds=GB * MINUTE), 231),
        (Use(egress_bytes=GB), 50_000),
        (Use(MINUTE * 1_000_000, GB * MINUTE, GB), 463 + 231 + 50_000),
        # A month of 43,200 minutes of one core and one GB: $20.00 and $9.98.
        (Use(cpu_microseconds=43_200 * MINUTE * 1_000_000), 20_001_600),
        (Use(memory_byte_seconds=43_200 * GB * MINUTE), 9_979_200),
        # Less than half a microdollar is nothing, more is one; exactly half goes to the even neighbour.
        (Use(egress_bytes=9_999), 0),
        (Use(egress_bytes=10_000), 0),
        (Use(egress_bytes=10_001), 1),
        (Use(egress_bytes=30_000), 2),
        (Use(egress_bytes=50_000), 2),
    ],
)
def test_the_prices_are_those_people_know(use: Use, micro_usd: int) -> None:
    assert cost(use, PRICES) == micro_usd


@given(AMOUNTS)
def test_cost_is_exact_and_rounded_once(use: Use) -> None:
    with localcontext() as context:
        context.prec = 60
        dollars = (
            Decimal("0.000463") * use.cpu_microseconds / (MINUTE * 1_000_000)
            + Decimal("0.000231") * use.memory_byte_seconds / (GB * MINUTE)
            + Decimal("0.05") * use.egress_bytes / GB
        )
        expected = (dollars * 1_000_000).quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    assert abs(cost(use, PRICES) - int(expected)) <= (0 if (dollars * 2_000_000) % 1 else 1)


@given(st.lists(AMOUNTS, max_size=50))
def test_the_total_is_the_sum_of_the_lines_as_printed(uses: list[Use]) -> None:
    lines = [cost(use, PRICES) for use in uses]
    assert total(lines) == sum(lines)


@given(AMOUNTS, AMOUNTS)
def test_splitting_a_line_changes_it_by_less_than_a_rounding_each(one: Use, two: Use) -> None:
    together = cost(one + two, PRICES)
    assert abs(together - cost(one, PRICES) - cost(two, PRICES)) <= 1


@given(AMOUNTS, AMOUNTS)
def test_more_use_never_costs_less(one: Use, two: Use) -> None:
    assert cost(one + two, PRICES) >= cost(one, PRICES) >= 0


def test_what_has_no_price_is_free() -> None:
    assert cost(Use(10**12, 10**12, 10**12), {}) == 0
    assert cost(Use(egress_bytes=GB), {Resource.EGRESS: Price(0, 1)}) == 0

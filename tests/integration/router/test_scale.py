"""How long a change takes when there are many names already: the cost of one more must stay small."""

from __future__ import annotations

import statistics
import time
from typing import Any

import asyncpg
import pytest

from libs.testing.eventually import eventually
from tests.integration.router import apps
from tests.integration.router.conftest import Calls, Stand

pytestmark = [pytest.mark.wheels, pytest.mark.slow]

NAMES = 1_000
SWITCHES = 15
# With a thousand names against one, on a machine that does other things too. Alone, it is about 2.
AT_MOST_SLOWER = 12.0
FLOOR_SECONDS = 0.02


async def fill(stand: Stand, count: int, port: int) -> None:
    """Writes names and endpoints as if they had been there all along."""
    connection: Any = await asyncpg.connect(stand.environ["LIGHTRAIL_ROUTER_DATABASE_URL"])
    await connection.execute("set search_path = router")
    keys = [(f"svc_{number}", "env_a") for number in range(count)]
    await connection.executemany(
        "insert into names values ($1, $2, 'wsp_a', $3, now(), 100)",
        [(*key, f"{key[0][4:]}.localhost") for key in keys],
    )
    await connection.executemany("insert into publications values ($1, $2, 1, 2, 2, now(), '', 100)", keys)
    await connection.executemany(
        "insert into endpoints values ($1, $2, '127.0.0.1', $3, 'i', null)", [(*k, port) for k in keys]
    )
    await connection.execute("update edge_revision set revision = 100")
    await connection.close()


async def median_switch(stand: Stand, calls: Calls, first: apps.App, second: apps.App, generation: int) -> float:
    """Seconds from asking until the new instance has answered."""
    host, times = await calls.claim("svc_probe"), []
    for number in range(SWITCHES):
        target = first if number % 2 else second
        began = time.perf_counter()
        await calls.publish("svc_probe", [target.port], generation + number)
        answer = await stand.get(host)
        times.append(time.perf_counter() - began)
        assert answer.text.startswith(target.name)
    return statistics.median(times)


async def test_a_switch_among_a_thousand_names_costs_little_more_than_alone(stand: Stand, calls: Calls) -> None:
    async with apps.running("first") as first, apps.running("second") as second:
        alone = await median_switch(stand, calls, first, second, 1)
        await fill(stand, NAMES, first.port)

        async def all_there() -> None:
            assert (await stand.get(f"{NAMES - 1}.localhost")).text.startswith("first")

        await eventually(all_there, within=30, every=0.1)
        among = await median_switch(stand, calls, first, second, 1_000)
    assert among < max(alone, FLOOR_SECONDS) * AT_MOST_SLOWER, f"{alone * 1000:.1f} ms became {among * 1000:.1f} ms"

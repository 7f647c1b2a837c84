"""How much the platform's API suffers while eight builds are asked for at once."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from tests.bench.measure import Measure
from tests.e2e.application import Application, copy_of
from tests.e2e.platform import Platform

BUILDS = 8
FACTOR = 3.0
# Calls that the idle platform is measured by, and seconds between two.
CALLS, PAUSE_SECONDS = 100, 0.05
# Seconds of CPU that each build takes with both of its programs.
BURN = """
import multiprocessing, time

def burn():
    end = time.process_time() + 2
    while time.process_time() < end:
        sum(range(10_000))

programs = [multiprocessing.Process(target=burn) for _ in range(2)]
for program in programs:
    program.start()
for program in programs:
    program.join()
"""


async def eight_at_once(platform: Platform) -> list[Measure]:
    """Builds eight services at once, under the platform's caps, and asks the API all the while."""
    with tempfile.TemporaryDirectory() as scratch:
        apps: list[Application] = []
        for number in range(BUILDS):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            app = Application(platform, f"burning-{number}", copy_of("worker-python", folder))
            await (app.add_to(apps[0].project) if apps else app.create())
            await app.settings(build_command="python burn.py")
            app.write("burn.py", BURN)
            apps.append(app)
        idle = [await _asked(platform) for _ in range(CALLS)]
        busy, before = list[float](), time.monotonic()
        asking = asyncio.get_running_loop().create_task(_keep_asking(platform, busy))
        ended = await asyncio.gather(*(app.up(within=600) for app in apps))
        took = time.monotonic() - before
        asking.cancel()
        await asyncio.wait([asking])
        await platform.api("DELETE", f"/projects/{apps[0].project['id']}")
    calm, slow = _ninety_five(idle), _ninety_five(busy)
    note = f"{slow / calm:.2f} × idle; {len(busy)} calls in {took:.1f} s; slowest {max(busy) * 1000:.0f} ms"
    return [
        Measure("API while idle, p95", calm * 1000, "ms", note=f"{CALLS} calls"),
        Measure(f"API while {BUILDS} builds are asked for at once, p95", slow * 1000, "ms", FACTOR * calm * 1000, note),
        Measure(f"builds of {BUILDS} that did not end well", sum(one.code != 0 for one in ended), "", 0),
    ]


async def _keep_asking(platform: Platform, times: list[float]) -> None:
    while True:
        times.append(await _asked(platform))


async def _asked(platform: Platform) -> float:
    """Seconds of one call, after a pause."""
    await asyncio.sleep(PAUSE_SECONDS)
    before = time.monotonic()
    await platform.api("GET", "/projects")
    return time.monotonic() - before


def _ninety_five(times: list[float]) -> float:
    return sorted(times)[len(times) * 95 // 100]

"""How long the platform needs until it is ready, and what it costs while nothing happens."""

from __future__ import annotations

import asyncio
import time

from tests.bench.measure import Measure, middle
from tests.e2e import processes
from tests.e2e.platform import Platform

COLD_SECONDS, WARM_SECONDS = 8.0, 4.0
MEMORY_MEGABYTES, CPU_PERCENT = 350.0, 3.0
SETTLE_SECONDS, WATCH_SECONDS = 20.0, 30.0
WARM_TRIES = 3
MEGABYTE = 1_000_000
SERVICES = {"auth", "project", "build", "deploy", "router", "metering", "gateway"}


def cold(platform: Platform) -> list[Measure]:
    """Starts on an empty home."""
    before = time.monotonic()
    platform.lr_now("platform", "up", "--detach", "--topology", platform.topology)
    took = time.monotonic() - before
    platform.claim()
    return [Measure(f"ready, cold ({platform.topology})", took, "s", _only_all(platform.topology, COLD_SECONDS))]


def warm(platform: Platform) -> list[Measure]:
    """Starts on data that is there."""
    tries = []
    for _ in range(WARM_TRIES):
        platform.lr_now("platform", "down")
        before = time.monotonic()
        platform.lr_now("platform", "up", "--detach", "--topology", platform.topology)
        tries.append(time.monotonic() - before)
    note = f"median of {WARM_TRIES}"
    return [
        Measure(
            f"ready, warm ({platform.topology})", middle(tries), "s", _only_all(platform.topology, WARM_SECONDS), note
        )
    ]


async def idle(platform: Platform) -> list[Measure]:
    """Watches memory (PSS) and CPU of all parts while nobody asks for anything."""
    parts = await platform.parts()
    roots = {part["pid"] for part in parts.values()}
    await asyncio.sleep(SETTLE_SECONDS)
    before = processes.cpu_seconds(_trees(roots))
    await asyncio.sleep(WATCH_SECONDS)
    used = processes.cpu_seconds(_trees(roots)) - before
    # In one process, services share a row; the supervisor's own row leaves out what it started.
    shared = SERVICES if platform.topology == "all" else set()
    rows = {"services" if name in shared else name: part["pid"] for name, part in parts.items()}
    trees = {name: {pid} if name == "supervisor" else processes.descendants(pid) for name, pid in rows.items()}
    sizes = {name: sum(map(processes.proportional_memory, tree)) / MEGABYTE for name, tree in trees.items()}
    note = ", ".join(f"{name} {size:.0f}" for name, size in sorted(sizes.items(), key=lambda row: -row[1]))
    topology, busy = platform.topology, used / WATCH_SECONDS * 100
    total = sum(processes.proportional_memory(pid) for pid in _trees(roots))
    return [
        memory(topology, total, note),
        Measure(f"CPU, idle ({topology})", busy, "%", _only_all(topology, CPU_PERCENT), "of a core"),
    ]


def memory(topology: str, size: int, note: str = "") -> Measure:
    """The row of what all parts take together, in bytes."""
    return Measure(f"memory, idle ({topology})", size / MEGABYTE, "MB", _only_all(topology, MEMORY_MEGABYTES), note)


def _trees(roots: set[int]) -> set[int]:
    return {pid for root in roots for pid in processes.descendants(root)}


def _only_all(topology: str, budget: float) -> float | None:
    return budget if topology == "all" else None

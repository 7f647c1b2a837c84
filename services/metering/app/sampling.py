"""Looks at the counters of others and stores what they grew by."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound
from services.metering.app.ports import Parts
from services.metering.domain.accounting import minute_of, of_instances, of_traffic
from services.metering.domain.facts import MinuteRecorded
from services.metering.domain.model import Accounted, Edge, Place

FORGOTTEN_AT_ONCE: Final = 10_000
# A counter that was not seen for so long will not come back. Had it been forgotten while its process still runs, all
# its use would be charged a second time, so this is long.
COUNTER_MEMORY: Final = timedelta(days=30)


async def sample_instances(ctx: Ctx, parts: Parts) -> int:
    """Stores the CPU time and memory used since the last look; returns how many places used some.

    Unavailable when deploy is away: the next look finds it (see `domain.accounting`).
    """
    async with parts.work():
        if not await parts.counters.begin("instances"):
            return 0
        now = parts.clock.now()
        readings = await parts.instances.read(ctx)
        last = await parts.counters.runs({reading.run_id for reading in readings})
        await parts.counters.remember({reading.place for reading in readings})
        return await _store(parts, of_instances(last, readings, now))


async def sample_traffic(ctx: Ctx, parts: Parts) -> int:
    """Stores the bytes that left since the last look; returns how many places sent some.

    Unavailable when the router is away, or project when a service is new: the next look finds it.
    """
    async with parts.work():
        if not await parts.counters.begin("traffic"):
            return 0
        readings = await parts.traffic.read(ctx)
        last = await parts.counters.edges({reading.key for reading in readings})
        return await _store(parts, of_traffic(last, readings, await _places(ctx, parts, readings)))


async def forget_samples(_ctx: Ctx, parts: Parts) -> bool:
    """Deletes some of what is too old; returns whether there may be more."""
    now = parts.clock.now()
    await parts.counters.forget(now - COUNTER_MEMORY)
    return await parts.samples.forget(now - parts.retention, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE


async def _store(parts: Parts, accounted: Accounted) -> int:
    now = parts.clock.now()
    minute = minute_of(now)
    await parts.counters.save(accounted, now)
    if accounted.uses:
        await parts.samples.add(minute, accounted.uses)
        await parts.facts.record(MinuteRecorded(minute, len(accounted.uses)))
    return len(accounted.uses)


async def _places(ctx: Ctx, parts: Parts, readings: Collection[Edge]) -> Mapping[tuple[str, str], Place]:
    """Whom the traffic belongs to: as instances showed it, else as project says; deleted services are left out."""
    pairs = {(reading.key.service_id, reading.key.environment_id) for reading in readings if reading.egress_bytes}
    known = await parts.counters.places(pairs)
    found: set[Place] = set()
    for service_id, environment_id in sorted(pairs - set(known)):
        try:
            found.add(await parts.owners.of_service(ctx, service_id, environment_id))
        except NotFound:
            continue
    await parts.counters.remember(found)
    return known | {(place.service_id, place.environment_id): place for place in found}

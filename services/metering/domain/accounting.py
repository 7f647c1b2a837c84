"""From counters to use: only what grew since the last look is new, so looking twice gives nothing twice.

What happens when a look is missed, because deploy, the router or metering itself was away:

- CPU and egress are counters. The next look finds them grown by all that was used meanwhile and puts it on the minute
  of that look: nothing is lost or doubled, it only appears later.
- Memory is no counter. A run seen before and after the gap lived all the time, so it is charged for the whole gap at
  the mean of the two readings, on the minute of the later look.
- A run that ended between two looks is not seen again: what it used after its last look, at most one period, is not
  charged. A run seen for the first time is charged all its CPU time, and memory from that first look on. Both errors
  are in the user's favour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from services.metering.domain.model import NOTHING, Accounted, Edge, EdgeKey, InstanceReading, Place, Run, Use

_MICROSECOND: Final = timedelta(microseconds=1)
_MICROSECONDS_PER_SECOND: Final = 1_000_000


def of_instances(last: Mapping[str, Run], readings: Iterable[InstanceReading], now: datetime) -> Accounted:
    """Returns the use since the last readings, by place, and the new last readings.

    A counter that fell within a run is a fault of whoever counted: nothing is charged until it passes where it was.
    """
    runs = dict(last)
    uses: defaultdict[Place, Use] = defaultdict(Use)
    seen: dict[str, Run] = {}
    for reading in readings:
        before = runs.get(reading.run_id)
        after = Run(
            reading.run_id,
            max(0, reading.cpu_microseconds, before.cpu_microseconds if before else 0),
            max(0, reading.memory_bytes),
            max(now, before.seen_at) if before else now,
        )
        uses[reading.place] += Use(
            cpu_microseconds=after.cpu_microseconds - (before.cpu_microseconds if before else 0),
            memory_byte_seconds=_held(before, after) if before else 0,
        )
        runs[reading.run_id] = seen[reading.run_id] = after
    return Accounted({place: use for place, use in uses.items() if use}, runs=tuple(seen.values()))


def of_traffic(
    last: Mapping[EdgeKey, int],
    readings: Iterable[Edge],
    places: Mapping[tuple[str, str], Place],
) -> Accounted:
    """Returns the egress since the last readings, by place, and the new last readings.

    `places` maps (service id, environment id). Traffic of an unknown place is left for a later look. A counter that
    fell has started anew, because its Envoy or its cluster did: all it shows is new.
    """
    counters = dict(last)
    uses: defaultdict[Place, Use] = defaultdict(Use)
    seen: dict[EdgeKey, Edge] = {}
    for reading in readings:
        place = places.get((reading.key.service_id, reading.key.environment_id))
        if place is None or reading.egress_bytes < 0:
            continue
        before = counters.get(reading.key, 0)
        grown = reading.egress_bytes - before if reading.egress_bytes >= before else reading.egress_bytes
        uses[place] += Use(egress_bytes=grown)
        counters[reading.key] = reading.egress_bytes
        seen[reading.key] = reading
    return Accounted({place: use for place, use in uses.items() if use}, edges=tuple(seen.values()))


def minute_of(moment: datetime) -> datetime:
    """Returns the start of the minute that a moment is in."""
    return moment.replace(second=0, microsecond=0)


def summed(uses: Iterable[Use]) -> Use:
    """Returns all of it together."""
    return sum(uses, NOTHING)


def _held(before: Run, after: Run) -> int:
    """Byte-seconds between two readings, by the trapezoid; what is less than one is dropped."""
    elapsed = (after.seen_at - before.seen_at) // _MICROSECOND
    return (before.memory_bytes + after.memory_bytes) * elapsed // (2 * _MICROSECONDS_PER_SECOND)

"""Use, whose it is, and the counters it is taken from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Place:
    """A service in an environment: what a line of a bill is about."""

    workspace_id: str
    project_id: str
    environment_id: str
    service_id: str


@dataclass(frozen=True, slots=True)
class Use:
    """Amounts of what is paid for; the names give the units."""

    cpu_microseconds: int = 0
    # Bytes of memory held, times the seconds they were held.
    memory_byte_seconds: int = 0
    egress_bytes: int = 0

    def __add__(self, other: Use) -> Use:
        return Use(
            self.cpu_microseconds + other.cpu_microseconds,
            self.memory_byte_seconds + other.memory_byte_seconds,
            self.egress_bytes + other.egress_bytes,
        )

    def __bool__(self) -> bool:
        return self != NOTHING


NOTHING = Use()


@dataclass(frozen=True, slots=True)
class InstanceReading:
    """What deploy says of one run of an instance's process."""

    run_id: str
    place: Place
    # Since the process started.
    cpu_microseconds: int
    # At this moment.
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Run:
    """The last reading of a run that was accounted for."""

    run_id: str
    cpu_microseconds: int
    memory_bytes: int
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class EdgeKey:
    """A counter of the edge: one run of an Envoy, one service in one environment."""

    edge_epoch: str
    service_id: str
    environment_id: str


@dataclass(frozen=True, slots=True)
class Edge:
    """A counter of the edge and how far it was accounted for, or how far it is now."""

    key: EdgeKey
    # Since this run of the edge started.
    egress_bytes: int


@dataclass(frozen=True, slots=True)
class Accounted:
    """New use and the counters up to which everything is accounted for; saved together or not at all."""

    uses: dict[Place, Use]
    runs: tuple[Run, ...] = ()
    edges: tuple[Edge, ...] = ()

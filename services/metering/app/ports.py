"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from services.metering.domain.facts import MinuteRecorded
from services.metering.domain.model import Accounted, Edge, EdgeKey, InstanceReading, Place, Run, Use
from services.metering.domain.pricing import Prices
from services.metering.domain.window import Window


class Work(Protocol):
    """Opens a transaction, or joins the one that runs."""

    def __call__(self) -> AbstractAsyncContextManager[object]:
        """All that is saved inside is saved together or not at all."""
        ...


@dataclass(frozen=True, slots=True)
class Question:
    """Whose use is asked for; empty ids do not narrow. `tenants` is the caller's tenant clause, None: every one."""

    tenants: Sequence[str] | None
    workspace_id: str
    project_id: str
    environment_id: str
    service_id: str
    window: Window


class Counters(Protocol):
    """How far every counter was accounted for."""

    async def begin(self, name: str) -> bool:
        """Whether this transaction is the only one, of all replicas, that accounts for these counters now."""
        ...

    async def runs(self, run_ids: Collection[str]) -> dict[str, Run]:
        """The last readings of these runs."""
        ...

    async def edges(self, keys: Collection[EdgeKey]) -> dict[EdgeKey, int]:
        """The last readings of these counters of the edge."""
        ...

    async def places(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], Place]:
        """Whom these (service id, environment id) belong to, as far as it was seen."""
        ...

    async def remember(self, places: Collection[Place]) -> None:
        """Keeps whom a service in an environment belongs to."""
        ...

    async def save(self, accounted: Accounted, at: datetime) -> None:
        """Moves the counters on."""
        ...

    async def forget(self, before: datetime) -> None:
        """Deletes counters that were not seen since."""
        ...


class Samples(Protocol):
    """Use, by minute and place."""

    async def add(self, minute: datetime, uses: Mapping[Place, Use]) -> None:
        """Adds to what is stored for this minute."""
        ...

    async def sums(self, question: Question) -> Sequence[tuple[Place, Use]]:
        """All use in the window, by place, in the order of their ids."""
        ...

    async def forget(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` samples of minutes before; gives how many."""
        ...


class PriceTable(Protocol):
    """What the operator asks for."""

    async def prices(self) -> Prices:
        """The prices as they are now."""
        ...


class Facts(Protocol):
    """What metering tells others."""

    async def record(self, fact: MinuteRecorded) -> None:
        """Told if and only if the running transaction commits."""
        ...


class Instances(Protocol):
    """The counters that deploy keeps."""

    async def read(self, ctx: Ctx) -> Sequence[InstanceReading]:
        """Every run of every instance. Unavailable when deploy is away."""
        ...


class Traffic(Protocol):
    """The counters that the router keeps."""

    async def read(self, ctx: Ctx) -> Sequence[Edge]:
        """Every counter of the edge. Unavailable when the router is away."""
        ...


class Owners(Protocol):
    """Whom services and projects belong to, as the project service says to this caller."""

    async def of_service(self, ctx: Ctx, service_id: str, environment_id: str) -> Place:
        """The service's place. NotFound when it is not the caller's to see."""
        ...

    async def workspace_of(self, ctx: Ctx, project_id: str) -> str:
        """The project's workspace. NotFound when it is not the caller's to see."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """All that metering works with."""

    clock: Clock
    work: Work
    counters: Counters
    samples: Samples
    prices: PriceTable
    facts: Facts
    instances: Instances
    traffic: Traffic
    owners: Owners
    # How long samples are kept.
    retention: timedelta

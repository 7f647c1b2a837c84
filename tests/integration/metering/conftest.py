"""Metering on real PostgreSQL, with counters that a test turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest_asyncio

from libs.db import Database
from libs.facts import Outbox
from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound, Unavailable
from libs.testing.clock import VirtualClock
from libs.testing.plugin import OpenDatabase
from services.metering.app.ports import Parts
from services.metering.domain.model import Edge, EdgeKey, InstanceReading, Place, Use
from services.metering.events.codec import encode
from services.metering.main import MIGRATIONS
from services.metering.store.outbox import OutboxFacts
from services.metering.store.postgres import PostgresCounters, PostgresPrices, PostgresSamples


@dataclass
class Outside:
    """Deploy, the router and project, as far as metering sees them."""

    runs: dict[str, InstanceReading] = field(default_factory=dict)
    edges: dict[EdgeKey, Edge] = field(default_factory=dict)
    places: dict[tuple[str, str], Place] = field(default_factory=dict)
    away: bool = False

    def use(self, run_id: str, place: Place, cpu: int = 0, memory: int = 0) -> None:
        before = self.runs.get(run_id)
        self.runs[run_id] = InstanceReading(run_id, place, cpu + (before.cpu_microseconds if before else 0), memory)

    def send(self, epoch: str, place: Place, count: int) -> None:
        key = EdgeKey(epoch, place.service_id, place.environment_id)
        before = self.edges.get(key)
        self.edges[key] = Edge(key, count + (before.egress_bytes if before else 0))


class FakeInstances:
    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    async def read(self, ctx: Ctx) -> Sequence[InstanceReading]:
        if self.outside.away:
            raise Unavailable("deploy is away.")
        return list(self.outside.runs.values())


class FakeTraffic:
    def __init__(self, outside: Outside) -> None:
        self.outside = outside

    async def read(self, ctx: Ctx) -> Sequence[Edge]:
        if self.outside.away:
            raise Unavailable("the router is away.")
        return list(self.outside.edges.values())


class FakeOwners:
    """Lets a caller see what is in their workspaces, as project does."""

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self.asked = 0

    async def of_service(self, ctx: Ctx, service_id: str, environment_id: str) -> Place:
        self.asked += 1
        for place in self.outside.places.values():
            if place.service_id == service_id and environment_id in ("", place.environment_id):
                ctx.allow(place.workspace_id, place.project_id, place.environment_id, what=f"Service {service_id}")
                return place
        raise NotFound(f"Service {service_id} does not exist, or is not yours to see.")

    async def workspace_of(self, ctx: Ctx, project_id: str) -> str:
        for place in self.outside.places.values():
            if place.project_id == project_id:
                ctx.allow(place.workspace_id, project_id, what=f"Project {project_id}")
                return place.workspace_id
        raise NotFound(f"Project {project_id} does not exist, or is not yours to see.")


@dataclass
class World:
    """Metering and its surroundings."""

    db: Database
    clock: VirtualClock
    outside: Outside
    owners: FakeOwners
    parts: Parts

    async def samples(self) -> dict[tuple[datetime, str], Use]:
        rows = await self.db.fetch("select * from usage_samples order by minute, service_id")
        return {
            (row["minute"], row["service_id"]): Use(
                row["cpu_microseconds"],
                row["memory_byte_seconds"],
                row["egress_bytes"],
            )
            for row in rows
        }

    async def sum(self) -> Use:
        return sum((await self.samples()).values(), Use())

    async def facts(self) -> int:
        return int(await self.db.fetchval("select count(*) from outbox"))


@pytest_asyncio.fixture
async def db(open_db: OpenDatabase) -> Database:
    return await open_db("metering", MIGRATIONS)


@pytest_asyncio.fixture
async def world(db: Database, clock: VirtualClock) -> World:
    outside = Outside()
    owners = FakeOwners(outside)
    parts = Parts(
        clock=clock,
        work=db.tx,
        counters=PostgresCounters(db),
        samples=PostgresSamples(db),
        prices=PostgresPrices(db),
        facts=OutboxFacts(Outbox(db, "metering", clock), encode),
        instances=FakeInstances(outside),
        traffic=FakeTraffic(outside),
        owners=owners,
        retention=timedelta(days=100),
    )
    return World(db, clock, outside, owners, parts)

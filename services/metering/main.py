"""Builds metering."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from libs.config import load
from libs.reconcile import Driver
from libs.runtime import Host, Module, Opened
from services.metering.adapters.deploy import DeployInstances
from services.metering.adapters.project import ProjectOwners
from services.metering.adapters.router import RouterTraffic
from services.metering.app.ports import Parts
from services.metering.config import Settings
from services.metering.events.codec import encode
from services.metering.loops.retention import Retention
from services.metering.loops.sampling import Sampling
from services.metering.rpc.servicer import servicer
from services.metering.store.outbox import OutboxFacts
from services.metering.store.postgres import PostgresCounters, PostgresPrices, PostgresSamples

MIGRATIONS = Path(__file__).parent / "store" / "migrations"


@asynccontextmanager
async def _open(host: Host) -> AsyncIterator[Opened]:
    settings = load(Settings, host.environ)
    async with host.database(MIGRATIONS) as db:
        parts = Parts(
            clock=host.clock,
            work=db.tx,
            counters=PostgresCounters(db),
            samples=PostgresSamples(db),
            prices=PostgresPrices(db),
            facts=OutboxFacts(host.outbox(db), encode),
            instances=DeployInstances(host.peer("deploy")),
            traffic=RouterTraffic(host.peer("router")),
            owners=ProjectOwners(host.peer("project")),
            retention=timedelta(days=settings.retention_days),
        )
        yield Opened(
            servicers=[servicer(parts)],
            loops=[
                Driver(Sampling(parts, settings.period_seconds), host.clock).run,
                Driver(Retention(parts), host.clock).run,
            ],
        )


MODULE = Module("metering", _open, needs=("project", "deploy", "router"))

"""Composition root of deploy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

from libs.attest.keys import PublicKey
from libs.config import load
from libs.db import run_leased
from libs.facts import Outbox
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.keyring.local import LocalKeyring
from libs.reconcile import Driver
from libs.runtime import Follow, Host, Module, Opened
from libs.sandbox.clouds import guard_secrets, keep_secrets
from libs.telemetry import get_logger
from services.deploy.adapters.build import GrpcBuilds
from services.deploy.adapters.health import check_health
from services.deploy.adapters.keyring import DeploymentKeyring
from services.deploy.adapters.process_runtime import ProcessRuntime
from services.deploy.adapters.project import GrpcProjects
from services.deploy.adapters.router import GrpcEdge
from services.deploy.app.commands import Commands
from services.deploy.app.journal import Journal
from services.deploy.app.queries import Queries
from services.deploy.app.reactions import Reactions
from services.deploy.app.rollout import Rollout
from services.deploy.app.sampling import Sampling
from services.deploy.config import Config
from services.deploy.domain.facts import Fact
from services.deploy.domain.model import Resources
from services.deploy.events import codec, subscriptions
from services.deploy.loops.reaper import ReaperLoop
from services.deploy.loops.rollout import RolloutLoop
from services.deploy.loops.watch import Watch
from services.deploy.rpc.servicer import servicer
from services.deploy.store import MIGRATIONS
from services.deploy.store.logs import PostgresLogs
from services.deploy.store.postgres import PostgresStore

FORGET_SECONDS: Final = 3600.0
# behaviour.md: the last 10 images and 14 days can be rolled back to.
ROLLBACK_COUNT: Final = 10
ROLLBACK_WINDOW: Final = timedelta(days=14)


@asynccontextmanager
async def open_deploy(host: Host) -> AsyncIterator[Opened]:
    """Builds deploy: store, runtime, use cases, doors and loops."""
    config = load(Config, host.environ)
    async with host.database(MIGRATIONS, max_size=8) as db:
        store = PostgresStore(db, _recorder(host.outbox(db)))
        logs = PostgresLogs(db, keep_days=config.log_days)
        keyring = DeploymentKeyring(LocalKeyring.from_file(config.secrets_key_file, "deployment"))
        projects = GrpcProjects(host.peer("project"))
        builds = GrpcBuilds(host.peer("build"), PublicKey.load(config.provenance_public_key_file))
        edge = GrpcEdge(host.peer("router"))
        await guard_secrets(opened=config.instance_metadata)
        runtime = await ProcessRuntime.open(config.home, host.clock)
        commands = Commands(store, projects, builds, keyring, host.clock)
        defaults = Resources(0, 0, config.instance_cpu_millicores, config.instance_memory_bytes)
        journal = Journal(store, logs, runtime, keyring, host.clock)
        rollout = Rollout(
            store=store,
            runtime=runtime,
            logs=logs,
            journal=journal,
            projects=projects,
            builds=builds,
            edge=edge,
            keyring=keyring,
            commands=commands,
            clock=host.clock,
            defaults=defaults,
        )
        steps = Driver(RolloutLoop(store, runtime, check_health, rollout, host.clock), host.clock, concurrency=32)
        reaper = Driver(ReaperLoop(store, runtime, edge, journal, host.clock, steps.wake), host.clock)
        watch = Watch(store, runtime, journal, host.clock, steps.wake)
        reactions = Reactions(store, commands, wake=steps.wake)

        async def work() -> None:
            async with asyncio.TaskGroup() as group:
                for loop in (steps.run, reaper.run, watch.run):
                    group.create_task(loop())

        yield Opened(
            servicers=[servicer(commands, Queries(store, logs, projects), Sampling(store, runtime), steps.wake)],
            loops=[
                lambda: run_leased(db, "loops", host.clock, work),
                lambda: _forget_old(store, logs, host.clock),
                *([] if config.instance_metadata else [lambda: keep_secrets(host.clock)]),
            ],
            follows=[
                Follow("build", subscriptions.to_build(reactions)),
                Follow("project", subscriptions.to_project(reactions)),
            ],
        )


MODULE: Final = Module("deploy", open_deploy, needs=("auth", "project", "router"))


def _recorder(outbox: Outbox) -> Callable[[Fact], Awaitable[None]]:
    async def record(fact: Fact) -> None:
        await outbox.record(codec.encode(fact))

    return record


async def _forget_old(store: PostgresStore, logs: PostgresLogs, clock: Clock) -> None:
    """Lets go of old lines, and of releases that are past every rollback."""
    while True:
        try:
            await logs.forget_old()
            await store.forget_old(clock.now() - ROLLBACK_WINDOW, ROLLBACK_COUNT)
        except Unavailable:
            get_logger("deploy/housekeeping").info("forgetting.postponed")
        await clock.sleep(FORGET_SECONDS)

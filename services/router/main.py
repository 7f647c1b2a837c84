"""Builds the router."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from libs.config import load
from libs.db import Database
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.reconcile import Driver
from libs.runtime import Follow, Host, Module, Opened
from libs.telemetry import get_logger
from services.router.adapters import ads
from services.router.adapters.envoy_admin import EnvoyAdmin, connection
from services.router.adapters.world_file import WorldFile
from services.router.adapters.xds import Shape, Translator
from services.router.app.commands import Commands
from services.router.app.queries import Queries
from services.router.app.reactions import Reactions
from services.router.config import Settings
from services.router.domain.world import Spot
from services.router.events.codec import RecordedFacts
from services.router.events.subscriptions import project
from services.router.loops.announce import AnnounceEndpoints
from services.router.loops.edge import WORLD, TellEdges
from services.router.loops.retire import RetireEndpoints
from services.router.rpc.servicer import ADD, RouterServicer
from services.router.store.postgres import MIGRATIONS, PostgresNames, PostgresPublications, PostgresWorlds

WORLD_FILE = "router-world.json"
DATABASE_RETRY_SECONDS = 0.5


@asynccontextmanager
async def open_router(host: Host) -> AsyncIterator[Opened]:
    """Opens the router. Edges are served before anything else, from the file of the last run if need be."""
    settings = load(Settings, host.environ)
    edges = _edges(settings, host.clock)
    memory = _memory(settings)
    async with AsyncExitStack() as stack:
        remembered = await memory.recall()
        if remembered is not None:
            await edges.put(remembered, provisional=True)
        await stack.enter_async_context(ads.serving(edges, settings.ads_address))
        db = await _database(host, stack)
        admin = await stack.enter_async_context(connection(settings.envoy_admin))
        yield _wire(host, settings, db, edges, memory, EnvoyAdmin(admin))


async def stand_in(environ: Mapping[str, str], clock: Clock) -> None:
    """Serves the world of the last run to edges that start while the router is away; returns when it is back.

    Needs neither database nor bus. Unavailable when there is no such world.
    """
    settings, log = load(Settings, environ), get_logger("router/standby")
    remembered = await _memory(settings).recall()
    if remembered is None:
        raise Unavailable("The router left no world to serve.", hint="Edges are served again when it is back.")
    edges = _edges(settings, clock)
    await edges.put(remembered, provisional=True)
    log.info("standby.offered", revision=remembered.revision, apps=len(remembered.apps))
    served = await ads.standing_in(edges, settings.ads_address, clock)
    log.info("standby.relieved" if served else "standby.not_needed")


def _edges(settings: Settings, clock: Clock) -> ads.Edges:
    edge = Spot(settings.edge_address, settings.edge_port)
    shape = Shape(edge, settings.gateway, settings.edge_token, settings.base_domain)
    return ads.Edges(Translator(shape), clock)


def _memory(settings: Settings) -> WorldFile:
    return WorldFile(settings.home / "state" / WORLD_FILE)


async def _database(host: Host, stack: AsyncExitStack) -> Database:
    """Waits for the database as long as it takes: leaving would take the edges' configuration away."""
    while True:
        try:
            return await stack.enter_async_context(host.database(MIGRATIONS))
        except (Unavailable, OSError) as error:
            get_logger("router").warning("database.awaited", error=str(error))
            await host.clock.sleep(DATABASE_RETRY_SECONDS)


def _wire(
    host: Host, settings: Settings, db: Database, edges: ads.Edges, memory: WorldFile, gauges: EnvoyAdmin
) -> Opened:
    names = PostgresNames(db, host.clock)
    publications = PostgresPublications(db)
    worlds = PostgresWorlds(db, host.clock)
    telling = Driver(TellEdges(worlds, edges, memory), host.clock)

    def wake() -> None:
        telling.wake(WORLD)

    commands = Commands(
        work=db.tx,
        names=names,
        publications=publications,
        worlds=worlds,
        facts=RecordedFacts(host.outbox(db)),
        edges=edges,
        clock=host.clock,
        base_domain=settings.base_domain,
        wake=wake,
    )
    servicer = RouterServicer(commands, Queries(names, publications, gauges, host.clock, settings.edge_port))
    retiring = Driver(RetireEndpoints(publications, gauges, host.clock, wake), host.clock)
    announcing = Driver(AnnounceEndpoints(publications, edges, commands.announce), host.clock)
    return Opened(
        servicers=[(ADD, servicer)],
        loops=[telling.run, retiring.run, announcing.run],
        follows=[Follow("project", project(Reactions(db.tx, worlds, wake)))],
    )


MODULE = Module("router", open_router, standby=stand_in)

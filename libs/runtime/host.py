"""What a service gets from the process it runs in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from libs import facts
from libs.bus import Bus
from libs.db import Database, open_database
from libs.facts import Follower, Outbox, Relay
from libs.facts.servicer import reader, servicer
from libs.kernel.clock import Clock
from libs.kernel.context import Actor, platform
from libs.kernel.errors import Invalid, Unavailable
from libs.kernel.secret import Secret
from libs.rpc import Identity, Peer, exchange_with
from libs.runtime.opened import Loop, Opened, Servicer

SERVICES: Final = ("auth", "project", "build", "deploy", "router", "metering", "gateway")
DATABASE_PATIENCE_SECONDS: Final = 30.0


class Host:
    """One service's view of its process: settings, clock, identity, bus, database, and the other services."""

    def __init__(self, name: str, environ: Mapping[str, str], clock: Clock, identity: Identity, bus: Bus) -> None:
        self.name = name
        self.environ = environ
        self.clock = clock
        self.identity = identity
        self.bus = bus
        self._peers: dict[str, Peer] = {}
        self._database: Database | None = None
        self._outbox: Outbox | None = None

    def address(self, service: str) -> str:
        """host:port of a service's gRPC server. Invalid when nothing says where it is."""
        variable = f"LIGHTRAIL_{service.upper()}_ADDRESS"
        if variable not in self.environ:
            raise Invalid(f"{variable} is not set: {self.name} cannot find {service}.")
        return self.environ[variable]

    def peer(self, service: str) -> Peer:
        """The connection to a service; in one process too, calls cross gRPC."""
        if service not in self._peers:
            self._peers[service] = Peer(self.address(service), self.identity, self.clock)
        return self._peers[service]

    @asynccontextmanager
    async def database(self, migrations: Path, *, max_size: int = 4) -> AsyncIterator[Database]:
        """This service's own schema, brought to the newest migration; waits up to 30 s for PostgreSQL."""
        dsn = Secret(self.environ[f"LIGHTRAIL_{self.name.upper()}_DATABASE_URL"])
        deadline = self.clock.monotonic() + DATABASE_PATIENCE_SECONDS
        while True:
            opening = open_database(
                dsn, schema=self.name, migrations=migrations, extra=[facts.MIGRATIONS], max_size=max_size
            )
            try:
                self._database = await opening.__aenter__()
            except Unavailable:
                if self.clock.monotonic() > deadline:
                    raise
                await self.clock.sleep(0.2)
            else:
                break
        try:
            yield self._database
        finally:
            await opening.__aexit__(None, None, None)

    def outbox(self, db: Database) -> Outbox:
        """Where this service records its facts; its relay runs with the service."""
        if self._outbox is None:
            self._outbox = Outbox(db, self.name, self.clock)
        return self._outbox

    async def exchange(self, credential: str, method: str) -> Actor:
        """Who stands behind a session or API token; Denied when it may not call `method`."""
        ask = exchange_with(self.peer("auth"), self.name, self.identity, self.clock)
        return await ask(credential, method)

    def facts(self, opened: Opened) -> tuple[list[Servicer], list[Loop]]:
        """What runs beside a service that has a database: its relay, its followers, its FactsService."""
        if self._database is None:
            if opened.follows:
                raise Invalid(f"{self.name} follows facts but has no database to remember them in.")
            return [], []
        outbox = self.outbox(self._database)
        followers = {
            follow.source: Follower(
                self._database,
                self.bus,
                self.clock,
                service=self.name,
                source=follow.source,
                reactions=follow.reactions,
                read=reader(self.peer(follow.source), platform(self.name)),
            )
            for follow in opened.follows
        }
        served = servicer(self._database, outbox, followers)
        loops: list[Loop] = [Relay(self._database, outbox, self.bus, self.clock).run]
        loops += [follower.run for follower in followers.values()]
        return [served], loops

    async def close(self) -> None:
        """Ends the connections to other services."""
        for peer in self._peers.values():
            await peer.close()

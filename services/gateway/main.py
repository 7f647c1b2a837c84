"""Composition root of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from libs.config import load
from libs.kernel.context import Actor
from libs.runtime import Host, Module, Opened
from services.gateway.adapters.auth import AuthDoorkeeper
from services.gateway.adapters.facts import PeerFactSources
from services.gateway.app.attempts import Attempts
from services.gateway.app.credentials import Credentials
from services.gateway.app.feed import Feed
from services.gateway.config import Settings
from services.gateway.events.codec import decode
from services.gateway.events.listener import listen
from services.gateway.http.api import Parts, create_app, guarded
from services.gateway.http.backend import Backend
from services.gateway.http.server import HttpServer

SERVICES: Final = ("auth", "project", "build", "deploy", "router", "metering")


@asynccontextmanager
async def open_gateway(host: Host) -> AsyncIterator[Opened]:
    """Serves the API until the module closes."""
    settings = load(Settings, host.environ)
    watched = {name: host.peer(name) for name in SERVICES}
    feed, stopping = Feed(), asyncio.Event()

    def verify(identity: str) -> Actor:
        return host.identity.verify(identity, now=host.clock.now())

    app = create_app(
        Parts(
            backend=Backend(host.peer),
            credentials=Credentials(AuthDoorkeeper(host.peer("auth"), verify), host.clock),
            attempts=Attempts(host.clock),
            feed=feed,
            sources=PeerFactSources(watched, decode),
            watched=watched,
            clock=host.clock,
            edge_port=settings.edge_port,
            edge_token=settings.edge_token,
            snapshot_limit=settings.snapshot_limit,
            stopping=stopping,
        )
    )

    def stop() -> None:
        stopping.set()
        feed.close()

    server = HttpServer(guarded(app, host.clock), settings.http_address, on_stop=stop)
    try:
        yield Opened(loops=(server.run, partial(listen, host.bus, feed, host.clock)))
    finally:
        server.close()


MODULE: Final = Module("gateway", open_gateway, needs=("auth", "project", "build", "deploy", "metering"))

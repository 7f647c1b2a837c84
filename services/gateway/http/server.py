"""uvicorn as one of the module's loops: no signal handlers, no polling, a stop that lets answers finish."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from libs.kernel.errors import Invalid, Unavailable
from libs.telemetry import get_logger

# Seconds an idle connection stays open. Longer than the edge keeps one (an hour), so that the edge, which may be about
# to reuse it, is always the one that closes.
KEEP_ALIVE: Final = 3700
# Seconds answers under way get when the platform stops.
GRACE: Final = 5


class HttpServer:
    """Serves an ASGI app on one address; bound at once, so that a busy port is told before anything starts."""

    def __init__(self, app: ASGIApp, address: str, *, on_stop: Callable[[], None]) -> None:
        self._app = app
        self._on_stop = on_stop
        self._socket = _bind(address)

    @property
    def address(self) -> str:
        """host:port it is bound to, with the real port."""
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def close(self) -> None:
        """Gives the port back, when it never ran."""
        self._socket.close()

    async def run(self) -> None:
        """Serves until cancelled; then ends streams, lets answers finish for a few seconds, and closes."""
        config = uvicorn.Config(
            self._app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=GRACE,
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        await server.startup(sockets=[self._socket])
        get_logger("gateway.http").info("http.listening", address=self.address)
        try:
            # Not server.serve(): it takes the process's signals and wakes ten times a second.
            await asyncio.Event().wait()
        finally:
            self._on_stop()
            await server.shutdown(sockets=[self._socket])


def _bind(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise Invalid(f"“{address}” is no address.", field="LIGHTRAIL_GATEWAY_HTTP_ADDRESS", hint="Write host:port.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host.strip("[]"), int(port)))
    except OSError as error:
        bound.close()
        raise Unavailable(
            f"The API cannot listen on {address}: {error.strerror}.", hint="Is another platform using the port?"
        ) from error
    bound.setblocking(False)
    return bound

"""The process's own door: /live, /ready, /metrics for everybody on loopback; /traces for parts of the platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from prometheus_client import REGISTRY, generate_latest

from libs.kernel.errors import Conflict
from libs.telemetry.traces import RING

LONGEST_REQUEST: Final = 8192


@asynccontextmanager
async def vitals(address: str, ready: Callable[[], bool], may_read: Callable[[str], bool]) -> AsyncIterator[int]:
    """Serves the process's state on `address` while its body runs; gives the port. Conflict when it is taken.

    Traces tell whom calls were about, and applications reach this port: they are for whom `may_read` knows by the
    bearer's credential.
    """

    def answer(path: str, credential: str) -> tuple[str, str, bytes]:
        if path == "/live":
            return "200 OK", "text/plain", b"live\n"
        if path == "/ready":
            return (
                ("200 OK", "text/plain", b"ready\n")
                if ready()
                else ("503 Service Unavailable", "text/plain", b"not ready\n")
            )
        if path == "/metrics":
            return "200 OK", "text/plain; version=0.0.4", generate_latest(REGISTRY)
        if path == "/traces" and not may_read(credential):
            return "401 Unauthorized", "text/plain", b"Traces are for services: show an identity of one.\n"
        if path == "/traces":
            return "200 OK", "application/json", msgspec.json.encode(RING.rows())
        return "404 Not Found", "text/plain", b"Here are /live, /ready, /metrics and /traces.\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
            words = head.split(b"\r\n", 1)[0].split(b" ")
            path = words[1].decode("ascii", "replace") if len(words) > 1 else ""
            status, kind, body = answer(path, _bearer(head))
            head_lines = [
                f"HTTP/1.1 {status}",
                f"content-type: {kind}",
                f"content-length: {len(body)}",
                "connection: close",
            ]
            writer.write("\r\n".join([*head_lines, "", ""]).encode() + body)
            await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # a caller that left or never spoke HTTP gets no answer
        finally:
            writer.close()

    host, _, port = address.rpartition(":")
    try:
        server = await asyncio.start_server(serve, host or "127.0.0.1", int(port), limit=LONGEST_REQUEST)
    except OSError as error:
        raise Conflict(
            f"{address} cannot be listened on: {error.strerror or error}.",
            hint="End the program that has it, then start this again: lr platform up",
        ) from error
    async with server:
        yield server.sockets[0].getsockname()[1]


def _bearer(head: bytes) -> str:
    """The credential of the header Authorization; empty when there is none."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        kind, _, credential = value.strip().partition(b" ")
        if name.lower() == b"authorization" and kind.lower() == b"bearer":
            return credential.strip().decode("ascii", "replace")
    return ""

"""The process's own door: /live, /ready, /metrics, /traces, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from prometheus_client import REGISTRY, generate_latest

from libs.telemetry.traces import RING

LONGEST_REQUEST: Final = 8192


@asynccontextmanager
async def vitals(address: str, ready: Callable[[], bool]) -> AsyncIterator[int]:
    """Serves the process's state on `address` while its body runs; gives the port."""

    def answer(path: str) -> tuple[str, str, bytes]:
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
        if path == "/traces":
            return "200 OK", "application/json", msgspec.json.encode(RING.rows())
        return "404 Not Found", "text/plain", b"Here are /live, /ready, /metrics and /traces.\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                head = await reader.readuntil(b"\r\n\r\n")
            words = head.split(b"\r\n", 1)[0].split(b" ")
            status, kind, body = answer(words[1].decode("ascii", "replace") if len(words) > 1 else "")
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
    server = await asyncio.start_server(serve, host or "127.0.0.1", int(port), limit=LONGEST_REQUEST)
    async with server:
        yield server.sockets[0].getsockname()[1]

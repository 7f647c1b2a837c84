"""A steady, bounded load of requests on one application of a platform on this machine."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CONNECTIONS = 20
# No load goes on for longer, whatever its caller forgets.
LONGEST_SECONDS = 900
PATIENCE_SECONDS = 30


@dataclass
class Load:
    """Counts what a load was answered with."""

    answers: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)

    @property
    def sent(self) -> int:
        """Requests that were answered, or were not."""
        return sum(self.answers.values())

    @property
    def failed(self) -> int:
        """Requests without a 200."""
        return self.sent - self.answers["200"]

    def note(self, answer: str, took: float) -> None:
        """Counts one request."""
        self.answers[answer] += 1
        self.slowest = max(self.slowest, took)
        if answer != "200" and len(self.failures) < CONNECTIONS:
            self.failures.append(f"request {self.sent}: {answer}")


@asynccontextmanager
async def load(port: int, host: str, *, per_second: float, path: str = "/") -> AsyncIterator[Load]:
    """Sends requests to 127.0.0.1 evenly over a few kept-alive connections while the block runs."""
    counts = Load()
    end = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        for number in range(CONNECTIONS):
            group.create_task(_send(counts, end, (port, host, path), number, CONNECTIONS / per_second))
        try:
            yield counts
        finally:
            end.set()


async def _send(counts: Load, end: asyncio.Event, where: tuple[int, str, str], number: int, period: float) -> None:
    port, host, path = where
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: load\r\n\r\n".encode()
    start = time.monotonic() + period * number / CONNECTIONS
    line = _Line(port)
    turn = 0
    try:
        while turn * period < LONGEST_SECONDS and not await _ends_within(end, start + turn * period - time.monotonic()):
            sent = time.monotonic()
            # After a stall, turns that were missed are left out rather than sent at once.
            turn = max(turn + 1, int((sent - start) / period))
            counts.note(await line.ask(request), time.monotonic() - sent)
    finally:
        await line.hang_up()


class _Line:
    """A connection that is kept, and made again when it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> str:
        """Gives the status of the answer, or the name of what went wrong."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection("127.0.0.1", self._port)
                self._streams[1].write(request)
                answer, goes_on = await _answer(self._streams[0])
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            answer, goes_on = type(error).__name__, False
        if not goes_on:
            await self.hang_up()
        return answer

    async def hang_up(self) -> None:
        """Closes the connection, however it ends."""
        if self._streams:
            writer = self._streams[1]
            self._streams = None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


async def _ends_within(end: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(max(seconds, 0)):
            await end.wait()
    except TimeoutError:
        return False
    return True


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = head[0].split(" ")[1]
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    if headers.get("transfer-encoding") == "chunked":
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        await reader.readline()
    else:
        await reader.readexactly(int(headers.get("content-length", "0")))
    return status, headers.get("connection", "").lower() != "close"

"""Small apps behind the edge, and a client that counts what fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


@dataclass
class App:
    """An HTTP/1.1 server that says its name, its path and the headers it got."""

    name: str
    delay: float = 0.0
    port: int = 0
    under_way: int = 0
    served: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Goes at once, as a process that gets SIGTERM and does not care."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._writers):
            writer.close()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await self._answer(head, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = head.split(" ", 2)[1]
        self.under_way += 1
        try:
            if "\r\nupgrade: websocket\r\n" in head.lower():
                await self._echo(reader, writer)
                return
            received = await _body(head, reader)
            if path == "/held":
                await self.release.wait()
            if path == "/events":
                await self._stream(writer)
                return
            await asyncio.sleep(self.delay)
            body = f"{self.name} {path} {received}\n{head}".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nserver: homemade\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            self.served += 1
        finally:
            self.under_way -= 1

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        for text in (b"data: first\n\n", b"data: last\n\n"):
            writer.write(b"%x\r\n%s\r\n" % (len(text), text))
            await writer.drain()
            if b"first" in text:
                await self.release.wait()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n")
        while data := await reader.read(4096):
            writer.write(data.upper())
            await writer.drain()


async def _body(head: str, reader: asyncio.StreamReader) -> int:
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    if "content-length" in lines:
        return len(await reader.readexactly(int(lines["content-length"])))
    received = 0
    while lines.get("transfer-encoding") == "chunked":
        size = int(await reader.readline(), 16)
        await reader.readexactly(size + 2)
        received += size
        if size == 0:
            break
    return received


@asynccontextmanager
async def running(name: str, **options: float) -> AsyncIterator[App]:
    app = App(name, **options)  # type: ignore[arg-type]  # options are App's own
    await app.start()
    try:
        yield app
    finally:
        app.release.set()
        await app.stop()


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    text: str


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in head[1:] if ": " in line)
    body = b""
    if "content-length" in headers:
        body = await reader.readexactly(int(headers["content-length"]))
    elif headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    return Answer(int(head[0].split(" ")[1]), headers, body.decode())


async def get(
    port: int,
    host: str,
    path: str = "/",
    *,
    method: str = "GET",
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} {path} HTTP/1.1", f"host: {host}", "connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"content-length: {len(body)}")
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        return await asyncio.wait_for(read_answer(reader), 20)
    finally:
        writer.close()


@dataclass
class Load:
    """Keep-alive clients that ask without pause until told to stop."""

    port: int
    host: str
    good: int = 0
    failures: list[str] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    stopping: bool = False

    async def client(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            while not self.stopping:
                writer.write(f"GET / HTTP/1.1\r\nhost: {self.host}\r\n\r\n".encode())
                answer = await read_answer(reader)
                if answer.status == 200:
                    self.good += 1
                    self.seen.add(answer.text.split(" ", 1)[0])
                else:
                    self.failures.append(f"{answer.status} {answer.text[:200]}")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.failures.append(repr(error))
        finally:
            writer.close()

    @asynccontextmanager
    async def by(self, clients: int) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self.client())
            try:
                yield
            finally:
                self.stopping = True

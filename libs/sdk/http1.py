"""HTTP/1.1 as the API needs it, in a few milliseconds: a command of the CLI lives shorter than a large client loads.

One connection a call, kept for the next one. Bodies are sent while the answer is listened for, so that a refusal in the
middle of an upload is heard. No redirects, no cookies, no proxies: the API uses none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from httptools import HttpParserError, HttpResponseParser

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS: Final = 5.0
PIECE: Final = 64 * 1024
_INFORMATIONAL: Final = 200
_NO_CONTENT: Final = frozenset({204, 304})
Body = bytes | AsyncIterator[bytes] | None


class ConnectFailed(OSError):  # noqa: N818 - named for what happened, as failures are
    """Nobody listens, or nobody answered in time."""


class Broken(OSError):  # noqa: N818 - the same
    """The connection ended, or said nothing for too long, before the answer was whole."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an API is: what to connect to, and what to call it."""

    host: str
    port: int
    tls: bool
    # The Host header.
    name: str
    # Path before every call's own.
    prefix: str


def origin_of(url: str) -> Origin:
    """Reads an address. Names below .localhost mean this machine (RFC 6761), which the C library does not know.

    ValueError when it is no address.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"“{url}” is no address.")
    tls = parts.scheme == "https"
    host = parts.hostname
    local = host == "localhost" or host.endswith(".localhost")
    name = parts.netloc.rpartition("@")[2]
    return Origin("127.0.0.1" if local else host, parts.port or (443 if tls else 80), tls, name, parts.path.rstrip("/"))


class Answer:
    """An answer whose head has come; its body is read from the connection."""

    def __init__(self, connection: _Connection, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self.status = connection.arrived.status
        self.headers: Mapping[str, str] = connection.arrived.headers

    @property
    def ok(self) -> bool:
        """Whether it is a success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - what success means in HTTP

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes. Broken when it ends too early or is silent for too long."""
        arrived = self._connection.arrived
        while True:
            while arrived.pieces:
                yield arrived.pieces.pop(0)
            if arrived.whole:
                return
            await self._connection.receive(self._seconds)

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.pieces()])


class Pool:
    """Connections to one origin."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self._idle: list[_Connection] = []

    @asynccontextmanager
    async def call(
        self, method: str, target: str, headers: Mapping[str, str], body: Body, *, seconds: float
    ) -> AsyncIterator[Answer]:
        """Sends a request and gives its answer; `seconds` is the longest silence.

        ConnectFailed when nobody listens, Broken when the connection ends early.
        """
        connection = self._reusable() or await _Connection.open(self._origin)
        reusable = False
        try:
            await connection.exchange(_head(self._origin, method, target, headers, body), body, seconds)
            yield Answer(connection, seconds)
            reusable = connection.reusable
        finally:
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()

    def close(self) -> None:
        """Closes what is kept."""
        while self._idle:
            self._idle.pop().close()

    def _reusable(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.ended:
                return connection
            connection.close()
        return None


@dataclass
class _Arrived:
    """What the parser has read of one answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    head: bool = False
    whole: bool = False
    # Whether the server keeps the connection; the parser only knows while it reads the head.
    kept: bool = False
    parser: HttpResponseParser | None = None

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.head = True
        self.kept = self.parser is not None and self.parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        self.pieces.append(bytes(body))

    def on_message_complete(self) -> None:
        self.whole = True


class _Connection:
    """One connection, one exchange at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sent = True
        # What made the body fail while it was sent.
        self._fault: Exception | None = None
        self._begin()

    @classmethod
    async def open(cls, origin: Origin) -> _Connection:
        """Connects. ConnectFailed when that does not work."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_connection(
                    origin.host, origin.port, ssl=_tls() if origin.tls else None
                )
        except (OSError, TimeoutError) as error:
            raise ConnectFailed(str(error)) from error
        return cls(reader, writer)

    @property
    def ended(self) -> bool:
        """Whether the other side has closed it."""
        return self._reader.at_eof() or self._writer.is_closing()

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow: both sides are done with this one."""
        return self._sent and self.arrived.whole and self.arrived.kept and not self.ended

    async def exchange(self, head: bytes, body: Body, seconds: float) -> None:
        """Sends a request and returns when the head of its answer is here."""
        self._sent = False
        self._fault = None
        self._begin()
        broken: Broken | None = None
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(self._send(head, body))
            try:
                while not self._head_is_here():
                    await self.receive(seconds)
            except Broken as error:
                broken = error
            # An answer before the end of the body is a refusal: the rest need not go.
            sending.cancel()
        if broken is not None:
            raise self._fault or broken

    async def receive(self, seconds: float) -> None:
        """Reads some more. Broken when the other side closed, or was silent for too long."""
        try:
            async with asyncio.timeout(seconds):
                data = await self._reader.read(PIECE)
        except TimeoutError as error:
            raise Broken(f"nothing came for {seconds} s") from error
        except OSError as error:
            raise Broken(str(error)) from error
        if not data:
            self._closed()
            return
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:
            raise Broken(f"that was no HTTP: {error}") from error

    def close(self) -> None:
        """Lets it go."""
        self._writer.close()

    async def _send(self, head: bytes, body: Body) -> None:
        self._writer.write(head)
        if isinstance(body, bytes):
            self._writer.write(body)
        elif body is not None:
            try:
                async for piece in body:
                    self._writer.write(piece)
                    if not await self._drained():
                        return
            except Exception as error:  # noqa: BLE001 - whatever made the body fail is raised by exchange()
                self._fault = error
                self.close()
                return
        self._sent = await self._drained()

    async def _drained(self) -> bool:
        """Whether the other side still takes what is sent; what it said before it hung up, receive() finds."""
        try:
            await self._writer.drain()
        except OSError:
            return False
        return True

    def _begin(self) -> None:
        self.arrived = _Arrived()
        self._parser = self.arrived.parser = HttpResponseParser(self.arrived)

    def _head_is_here(self) -> bool:
        if not self.arrived.head:
            return False
        self.arrived.status = self._parser.get_status_code()
        if self.arrived.status < _INFORMATIONAL:
            self._begin()
            return False
        if self.arrived.status in _NO_CONTENT:
            self.arrived.whole = True
        return True

    def _closed(self) -> None:
        """Without a length, the end of the connection is the end of the body."""
        headers = self.arrived.headers
        unbounded = "content-length" not in headers and "chunked" not in headers.get("transfer-encoding", "")
        if not self.arrived.head or not unbounded:
            raise Broken("the connection was closed")
        self.arrived.whole = True


def _head(origin: Origin, method: str, target: str, headers: Mapping[str, str], body: Body) -> bytes:
    sent = {"Host": origin.name, "User-Agent": "lightrail-sdk", "Accept": "application/json", **headers}
    if isinstance(body, bytes):
        sent["Content-Length"] = str(len(body))
    elif body is None and method not in ("GET", "HEAD"):
        sent["Content-Length"] = "0"
    lines = [f"{method} {origin.prefix}{target} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    if any(character in line for line in lines for character in "\r\n\0"):
        raise ValueError("A header or path holds a line break.")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _tls() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - only for https, and slow to load

    return ssl.create_default_context()

"""Requests to the API: retries of what may be repeated, event streams that resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from libs.kernel.errors import Invalid, Unavailable
from libs.kernel.secret import Secret
from libs.sdk.events import ServerSentEvent, parse
from libs.sdk.failures import failure_of, interrupted, silent
from libs.sdk.http1 import Broken, ConnectFailed, Pool, origin_of

T = TypeVar("T")
# Seconds before each further try of a call that may be repeated: a part that restarts is back within a second.
RETRIES: Final = (0.1, 0.3, 0.6)
# Seconds an event stream may be silent: the API sends a heartbeat every 15.
SILENCE: Final = 45.0
# Seconds any other answer may take to come.
TIMEOUT: Final = 30.0
PREFIX: Final = "/api/v1"
Params = Mapping[str, str | int | bool | None]


class Transport:
    """One connection pool to one API."""

    def __init__(self, api: str, token: Secret[str] | None, *, retries: tuple[float, ...] = RETRIES) -> None:
        self.api = api.rstrip("/")
        self._retries = retries
        try:
            origin = origin_of(self.api)
        except ValueError as error:
            raise Invalid(f"“{api}” is no address of a platform.", hint="Write it as http://localhost:8080.") from error
        self._headers = {"Authorization": f"Bearer {token.reveal()}"} if token is not None else {}
        self._pool = Pool(origin)

    async def __aenter__(self) -> Self:
        """Ready at once: connections open when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection."""
        self._pool.close()

    async def call(  # noqa: PLR0913 - a request has many parts
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        params: Params | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        content: AsyncIterator[bytes] | None = None,
        repeatable: bool | None = None,
        seconds: float = TIMEOUT,
    ) -> T:
        """Makes a call and reads its answer (`type(None)` for none). Failures come as the API told them.

        Repeated on Unavailable only where that cannot do a thing twice: reads, PUT, DELETE, and what is said to be.
        `content` streams a body whose Content-Length is among `headers`.
        """
        again = method in ("GET", "PUT", "DELETE") if repeatable is None else repeatable
        sent = {**self._headers, **(headers or {})}
        if body is not None:
            sent["Content-Type"] = "application/json"
        data = msgspec.json.encode(body) if body is not None else content
        waits = list(self._retries) if again and content is None else []
        while True:
            try:
                async with self._pool.call(method, _target(path, params), sent, data, seconds=seconds) as response:
                    return self._read(response.status, await response.read(), answer)
            except (ConnectFailed, Broken) as error:
                if not waits:
                    raise self._failure(error) from error
            except Unavailable:
                if not waits:
                    raise
            await asyncio.sleep(waits.pop(0))

    def _read(self, status: int, content: bytes, answer: type[T]) -> T:
        if not 200 <= status < 300:  # noqa: PLR2004 - what success means in HTTP
            raise failure_of(status, content, api=self.api)
        if answer is type(None):
            return None
        try:
            return msgspec.json.decode(content, type=answer)
        except msgspec.DecodeError as error:
            raise failure_of(status, b"", api=self.api) from error

    async def events(
        self, path: str, *, params: Params | None = None, after: str = "", forever: bool = True
    ) -> AsyncGenerator[ServerSentEvent, None]:
        """Server-sent events as they come. A stream that breaks off is resumed after its last event.

        Ends with the server's event `end`. With `forever` a platform that restarts is waited for, a minute at most.
        """
        last, broken = after, 0
        while True:
            try:
                async with self._stream(path, params, last) as source:
                    async for event in source:
                        if event.event == "end":
                            return
                        if event.event == "error":
                            raise failure_of(500, event.data.encode(), api=self.api)
                        broken, last = 0, event.id or last
                        yield event
                failure = interrupted(self.api)
            except (ConnectFailed, Broken) as error:
                failure = self._failure(error)
            except Unavailable as error:
                failure = error
            broken += 1
            if not forever or broken > 60:  # noqa: PLR2004 - tries, a second apart
                raise failure
            await asyncio.sleep(min(1.0, 0.1 * broken))

    @asynccontextmanager
    async def _stream(
        self, path: str, params: Params | None, last: str
    ) -> AsyncIterator[AsyncGenerator[ServerSentEvent, None]]:
        headers = {**self._headers, "Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        async with self._pool.call("GET", _target(path, params), headers, None, seconds=SILENCE) as response:
            if not response.ok:
                raise failure_of(response.status, await response.read(), api=self.api)
            async with aclosing(response.pieces()) as pieces, aclosing(parse(pieces)) as found:
                yield found

    def _failure(self, error: OSError) -> Unavailable:
        return silent(self.api) if isinstance(error, ConnectFailed) else interrupted(self.api)


def _target(path: str, params: Params | None) -> str:
    """The path of a call with the parameters that have a value."""
    given = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in (params or {}).items()
        if value not in (None, "")
    }
    return f"{PREFIX}{path}{f'?{urlencode(given)}' if given else ''}"


def part(value: str) -> str:
    """One segment of a path, whatever the caller typed."""
    return quote(value, safe="")

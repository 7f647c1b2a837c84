"""Requests over HTTP: names below .localhost, retries of what may be repeated, event streams that resume."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx2
import msgspec

from libs.kernel.errors import Unavailable
from libs.kernel.secret import Secret
from libs.sdk.failures import failure_of, interrupted, silent

T = TypeVar("T")
# Seconds before each further try of a call that may be repeated: a part that restarts is back within a second.
RETRIES: Final = (0.1, 0.3, 0.6)
# Seconds an event stream may be silent: the API sends a heartbeat every 15.
SILENCE: Final = 45.0
TIMEOUT: Final = httpx2.Timeout(30.0, connect=5.0)
Params = Mapping[str, str | int | bool | None]


class Transport:
    """One connection pool to one API."""

    def __init__(self, api: str, token: Secret[str] | None, *, retries: tuple[float, ...] = RETRIES) -> None:
        self.api = api.rstrip("/")
        self._retries = retries
        url, headers = resolved(self.api)
        if token is not None:
            headers["Authorization"] = f"Bearer {token.reveal()}"
        # A platform on this machine is never behind a proxy of the environment.
        self._http = httpx2.AsyncClient(base_url=f"{url}/api/v1", headers=headers, timeout=TIMEOUT, trust_env=False)

    async def __aenter__(self) -> Self:
        """Ready at once: connections open when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes every connection."""
        await self._http.aclose()

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
        seconds: float | None = None,
    ) -> T:
        """Makes a call and reads its answer (`type(None)` for none). Failures come as the API told them.

        Repeated on Unavailable only where that cannot do a thing twice: reads, PUT, DELETE, and what is said to be.
        """
        again = method in ("GET", "PUT", "DELETE") if repeatable is None else repeatable
        sent = dict(headers or {})
        data: bytes | AsyncIterator[bytes] | None = content
        if body is not None:
            sent["Content-Type"] = "application/json"
            data = msgspec.json.encode(body)
        waits = list(self._retries) if again and content is None else []
        while True:
            try:
                response = await self._http.request(
                    method,
                    path,
                    params=_given(params),
                    headers=sent,
                    content=data,
                    timeout=httpx2.Timeout(seconds, connect=5.0) if seconds else TIMEOUT,
                )
                return self._read(response, answer)
            except httpx2.TransportError as error:
                if not waits:
                    raise self._broken(error) from error
            except Unavailable:
                if not waits:
                    raise
            await asyncio.sleep(waits.pop(0))

    def _read(self, response: httpx2.Response, answer: type[T]) -> T:
        if not response.is_success:
            raise failure_of(response.status_code, response.content, api=self.api)
        if answer is type(None):
            return None
        try:
            return msgspec.json.decode(response.content, type=answer)
        except msgspec.DecodeError as error:
            raise failure_of(response.status_code, b"", api=self.api) from error

    async def events(
        self, path: str, *, params: Params | None = None, after: str = "", forever: bool = True
    ) -> AsyncGenerator[httpx2.ServerSentEvent, None]:
        """Server-sent events as they come. A stream that breaks off is resumed after its last event.

        Ends with the server's event `end`. With `forever` a platform that restarts is waited for, a minute at most.
        """
        last, broken = after, 0
        while True:
            try:
                async with self._stream(path, params, last) as source:
                    async for event in source:
                        if not event.data:
                            # Only how long to wait before connecting again: no event.
                            continue
                        if event.event == "end":
                            return
                        if event.event == "error":
                            raise failure_of(500, event.data.encode(), api=self.api)
                        broken, last = 0, event.id or last
                        yield event
                failure = interrupted(self.api)
            except httpx2.TransportError as error:
                failure = self._broken(error)
            except Unavailable as error:
                failure = error
            broken += 1
            if not forever or broken > 60:  # noqa: PLR2004 - tries, a second apart
                raise failure
            await asyncio.sleep(min(1.0, 0.1 * broken))

    @asynccontextmanager
    async def _stream(self, path: str, params: Params | None, last: str) -> AsyncIterator[httpx2.EventSource]:
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
        timeout = httpx2.Timeout(SILENCE, connect=5.0)
        async with self._http.stream("GET", path, params=_given(params), headers=headers, timeout=timeout) as response:
            if not response.is_success:
                raise failure_of(response.status_code, await response.aread(), api=self.api)
            yield httpx2.EventSource(response)

    def _broken(self, error: httpx2.TransportError) -> Unavailable:
        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout):
            return silent(self.api)
        return interrupted(self.api)


def resolved(api: str) -> tuple[str, dict[str, str]]:
    """Where to connect, and the headers that say whom is meant.

    Names below .localhost mean this machine (RFC 6761), but the C library does not resolve them.
    """
    url = httpx2.URL(api)
    if url.host == "localhost" or url.host.endswith(".localhost"):
        return str(url.copy_with(host="127.0.0.1")).rstrip("/"), {"Host": url.netloc.decode()}
    return api, {}


def _given(params: Params | None) -> dict[str, Any] | None:
    """Parameters that have a value."""
    return {name: value for name, value in params.items() if value not in (None, "")} if params else None

"""Server-sent events: heartbeats, a clean end when the caller leaves or the platform stops, errors as events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from traceback import format_exception
from typing import Final

from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from libs.kernel.errors import Failure
from libs.telemetry import get_logger
from services.gateway.http.problems import of_failure

MEDIA_TYPE: Final = "text/event-stream"
# Seconds between comments that keep proxies from closing a quiet stream.
HEARTBEAT: Final = 15.0
# Milliseconds a browser waits before it connects again.
RETRY: Final = 1000
_HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One event: its type, its JSON data, and an id to resume after."""

    event: str
    data: BaseModel | dict[str, object]
    id: str = ""

    def encode(self) -> bytes:
        """The event on the wire. JSON has no raw line breaks, so one data line is always enough."""
        if isinstance(self.data, BaseModel):
            text = self.data.model_dump_json(exclude_none=True)
        else:
            text = json.dumps(self.data, ensure_ascii=False, separators=(",", ":"), default=str)
        head = f"id: {self.id}\n" if self.id else ""
        return f"{head}event: {self.event}\ndata: {text}\n\n".encode()


class EventStream(Response):
    """Sends what a generator yields, as it comes, until it ends.

    `still` is asked at each heartbeat whether the caller may go on. A failure after the first byte becomes an event
    named `error` with a problem document, because the status is gone by then.
    """

    media_type = MEDIA_TYPE

    def __init__(
        self,
        frames: AsyncGenerator[Frame, None],
        *,
        stopping: asyncio.Event,
        still: Callable[[], Awaitable[object]],
        request_id: str = "",
        heartbeat: float = HEARTBEAT,
    ) -> None:
        super().__init__(headers=_HEADERS, media_type=MEDIA_TYPE)
        del self.headers["content-length"]
        self._frames = frames
        self._stopping = stopping
        self._still = still
        self._request_id = request_id
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's signature
        """Streams until the generator ends, the caller leaves or the platform stops."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _body(send, f"retry: {RETRY}\n\n".encode())
        queue: asyncio.Queue[Frame | None] = asyncio.Queue(maxsize=256)
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._produce(queue)),
                group.create_task(self._until_gone(receive, queue)),
                group.create_task(self._until_stopping(queue)),
            ]
            await self._send_all(queue, send)
            for other in others:
                other.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, queue: asyncio.Queue[Frame | None], send: Send) -> None:
        while True:
            try:
                async with asyncio.timeout(self._heartbeat):
                    frame = await queue.get()
            except TimeoutError:
                if (refused := await self._refused()) is not None:
                    await _body(send, refused.encode())
                    return
                await _body(send, b": still here\n\n")
                continue
            batch = bytearray()
            while frame is not None:
                batch += frame.encode()
                if queue.empty():
                    break
                frame = queue.get_nowait()
            if batch:
                await _body(send, bytes(batch))
            if frame is None:
                return

    async def _refused(self) -> Frame | None:
        """The event that ends the stream of a caller who may no longer listen; None while they may."""
        try:
            await self._still()
        except Failure as failure:
            # Auth being away for a moment ends nobody's stream.
            return None if failure.kind == "unavailable" else self._error(failure)
        return None

    async def _produce(self, queue: asyncio.Queue[Frame | None]) -> None:
        try:
            async with aclosing(self._frames) as frames:
                async for frame in frames:
                    await queue.put(frame)
            # Tells an orderly end from a connection that broke off, which is worth resuming.
            await queue.put(Frame("end", {}))
        except Failure as failure:
            await queue.put(self._error(failure))
        except Exception as error:  # noqa: BLE001 - told to the caller and logged; the status line is gone already
            told = "".join(format_exception(error))
            get_logger("gateway.http").error("stream.crashed", request_id=self._request_id, traceback=told)
            await queue.put(Frame("error", {"detail": "The platform made a mistake.", "request_id": self._request_id}))
        await queue.put(None)

    async def _until_gone(self, receive: Receive, queue: asyncio.Queue[Frame | None]) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        _end_now(queue)

    async def _until_stopping(self, queue: asyncio.Queue[Frame | None]) -> None:
        await self._stopping.wait()
        _end_now(queue)

    def _error(self, failure: Failure) -> Frame:
        return Frame("error", of_failure(failure, self._request_id))


def wants_events(request: Request) -> bool:
    """Whether the caller asked for a stream, as browsers' EventSource does."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def last_number(request: Request, otherwise: int) -> int:
    """Where to go on: the number in Last-Event-ID when a stream is resumed, else what the query said."""
    given = request.headers.get("last-event-id", "")
    return int(given) if given.isdigit() and len(given) < 19 else otherwise  # noqa: PLR2004 - fits in 63 bits


async def _body(send: Send, content: bytes) -> None:
    await send({"type": "http.response.body", "body": content, "more_body": True})


def _end_now(queue: asyncio.Queue[Frame | None]) -> None:
    """Ends the stream even when the queue is full: what is in it has nobody to go to, or can be resumed."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)

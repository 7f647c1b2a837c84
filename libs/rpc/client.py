"""A connection to another service: who calls, the trace and the deadline go with every call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Final, TypeVar, overload

import grpc
from opentelemetry.trace import SpanKind

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.rpc.identity import Identity
from libs.rpc.status import failure_of
from libs.telemetry import inject, open_span, span

Request = TypeVar("Request")
Response = TypeVar("Response")

IDENTITY_SECONDS: Final = 60.0
# A deadline that has passed: gRPC takes no timeout of zero.
_SHORTEST_SECONDS: Final = 0.001
LARGEST_MESSAGE: Final = 16 * 1024 * 1024
OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ("grpc.enable_http_proxy", 0),
)


class Peer:
    """Calls one service. Failures come back as they were raised there; a peer that restarts is waited for."""

    def __init__(self, address: str, identity: Identity, clock: Clock) -> None:
        self.channel = grpc.aio.insecure_channel(address, options=OPTIONS)
        self._identity = identity
        self._clock = clock

    async def call(
        self, method: Callable[..., Awaitable[Response]], request: object, ctx: Ctx, *, timeout: float = 10.0
    ) -> Response:
        """Makes a unary call on behalf of `ctx`. Unavailable when there is no answer in `timeout` seconds."""
        with span(f"call/{_name(method)}", kind=SpanKind.CLIENT):
            try:
                return await method(
                    request,
                    timeout=self._left(ctx, timeout),
                    metadata=self._metadata(ctx, inject()),
                    wait_for_ready=True,
                )
            except grpc.aio.AioRpcError as error:
                raise failure_of(error) or error from error

    def stream(
        self, method: Callable[..., Any], request: object, ctx: Ctx, *, timeout: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Yields what a server-streaming call answers, until it ends, the caller leaves, or the caller's time is up."""
        return self._responses(method, request, ctx, timeout)

    def duplex(
        self, method: Callable[..., Any], requests: AsyncIterator[object], ctx: Ctx, *, timeout: float | None = None
    ) -> AsyncGenerator[Any, None]:
        """Sends a stream and yields what is answered, until that ends, the caller leaves, or his time is up."""
        return self._responses(method, requests, ctx, timeout)

    async def _responses(
        self, method: Callable[..., Any], asked: object, ctx: Ctx, timeout: float | None
    ) -> AsyncGenerator[Any, None]:
        with open_span(f"call/{_name(method)}", kind=SpanKind.CLIENT) as traceparent:
            call = method(
                asked,
                timeout=self._left(ctx, timeout),
                metadata=self._metadata(ctx, traceparent),
                wait_for_ready=True,
            )
            try:
                async for response in call:
                    yield response
            except grpc.aio.AioRpcError as error:
                raise failure_of(error) or error from error
            finally:
                call.cancel()

    async def upload(
        self, method: Callable[..., Any], requests: AsyncIterator[object], ctx: Ctx, *, timeout: float
    ) -> Any:
        """Makes a client-streaming call. Unavailable when there is no answer in `timeout` seconds."""
        with span(f"call/{_name(method)}", kind=SpanKind.CLIENT):
            call = method(
                requests, timeout=self._left(ctx, timeout), metadata=self._metadata(ctx, inject()), wait_for_ready=True
            )
            try:
                return await call
            except grpc.aio.AioRpcError as error:
                raise failure_of(error) or error from error
            finally:
                call.cancel()

    async def close(self) -> None:
        """Ends the connection."""
        await self.channel.close()

    def _metadata(self, ctx: Ctx, here: str) -> tuple[tuple[str, str], ...]:
        token = self._identity.sign(ctx.actor, lifetime=IDENTITY_SECONDS, now=self._clock.now())
        metadata = [("authorization", f"Bearer {token.reveal()}")]
        if traceparent := here or ctx.traceparent:
            metadata.append(("traceparent", traceparent))
        if ctx.request_id:
            metadata.append(("x-request-id", ctx.request_id))
        return tuple(metadata)

    @overload
    def _left(self, ctx: Ctx, timeout: float) -> float: ...
    @overload
    def _left(self, ctx: Ctx, timeout: None) -> float | None: ...
    def _left(self, ctx: Ctx, timeout: float | None) -> float | None:
        """Seconds this call may take: no longer than whoever waits for `ctx` does."""
        if ctx.deadline is None:
            return timeout
        left = max(_SHORTEST_SECONDS, ctx.deadline - self._clock.monotonic())
        return left if timeout is None else min(timeout, left)


def _name(method: object) -> str:
    raw = getattr(method, "_method", b"")
    return raw.decode().lstrip("/") if isinstance(raw, bytes) else str(raw)

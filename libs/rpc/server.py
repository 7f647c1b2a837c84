"""A gRPC server that lets nobody in without a row in the authorization table."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from importlib import import_module
from traceback import format_exception
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram

from libs.kernel.clock import Clock
from libs.kernel.context import Actor, Ctx
from libs.kernel.errors import Conflict, Denied, Failure, Unavailable
from libs.rpc.authorization import permits, rule
from libs.rpc.client import OPTIONS
from libs.rpc.context import acting
from libs.rpc.identity import Identity
from libs.rpc.status import code_of, message_of, trailer_of
from libs.telemetry import get_logger, span

SECONDS: Final = Histogram("lightrail_rpc_seconds", "Time of calls served.", ["method", "code"])
# Apart from other calls: who follows a log stays for as long as he likes.
STREAM_SECONDS: Final = Histogram(
    "lightrail_rpc_stream_seconds",
    "Time of streams served.",
    ["method", "code"],
    buckets=(0.01, 0.1, 1, 10, 60, 600, 3600),
)
STREAMED: Final = Counter("lightrail_rpc_streamed_total", "Messages sent in streams.", ["method"])
# How long a refused caller may go on sending, and be silent meanwhile; seconds.
HEARD_OUT: Final = 60.0
SILENCE: Final = 2.0
# A disk without room is no bug.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# Turns a credential that is no signed identity (an API token, a session) into the actor it stands for.
Exchange = Callable[[str, str], Awaitable[Actor]]
Servicer = tuple[Callable[[Any, grpc.aio.Server], None], object]


class Server:
    """Serves servicers on one address, with health and reflection. Conflict when the address is taken."""

    def __init__(
        self, address: str, servicers: Sequence[Servicer], *, identity: Identity, exchange: Exchange, clock: Clock
    ) -> None:
        door = _Door(identity, exchange, clock)
        self._server = grpc.aio.server(interceptors=[door], options=[*OPTIONS, ("grpc.so_reuseport", 0)])
        names = [reflection.SERVICE_NAME, health.SERVICE_NAME]
        for add, servicer in servicers:
            add(servicer, self._server)
            names.append(_service_name(servicer))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(names, self._server)
        self._names = names
        try:
            self.port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            # All that gRPC says is that it did not work.
            raise Conflict(
                f"{address} cannot be listened on: another program has it.",
                hint="End that program, then start this again: lr platform up",
            ) from error

    async def start(self) -> None:
        """Starts to serve; health turns to SERVING."""
        await self._server.start()
        for name in ["", *self._names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float = 5.0) -> None:
        """Health turns to NOT_SERVING, calls under way get `grace` seconds, then it ends."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


async def _hear_out(context: Any) -> None:
    """Drops what a refused caller still sends.

    A Python client whose write fails because the call has ended reports that, and not the refusal:
    https://github.com/grpc/grpc/issues/36066.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(HEARD_OUT):
            said: object = None
            while said is not grpc.aio.EOF:
                async with asyncio.timeout(SILENCE):
                    said = await context.read()


def _service_name(servicer: object) -> str:
    """The full name of the service a servicer implements, from the descriptors beside its generated base."""
    base = next(cls for cls in type(servicer).__mro__ if cls.__module__.endswith("_pb2_grpc"))
    short = base.__name__.removesuffix("Servicer")
    messages = import_module(base.__module__.removesuffix("_grpc"))
    return str(messages.DESCRIPTOR.services_by_name[short].full_name)


class _Door(grpc.aio.ServerInterceptor):
    """Identifies the caller, applies the table, opens a span, and maps failures to status once."""

    def __init__(self, identity: Identity, exchange: Exchange, clock: Clock) -> None:
        self._identity = identity
        self._exchange = exchange
        self._clock = clock
        self._log = get_logger("rpc/server")

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        """Wraps the handler of the method that is called."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(("/grpc.health.", "/grpc.reflection.")):
            return handler
        metadata = {key: value for key, value in details.invocation_metadata or () if isinstance(value, str)}
        if handler.request_streaming and handler.response_streaming:
            wrapped = self._streaming(details.method, metadata, handler.stream_stream, sends_on=True)
            return grpc.stream_stream_rpc_method_handler(
                wrapped, handler.request_deserializer, handler.response_serializer
            )
        if handler.response_streaming:
            wrapped = self._streaming(details.method, metadata, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(
                wrapped, handler.request_deserializer, handler.response_serializer
            )
        if handler.request_streaming:
            wrapped = self._unary(details.method, metadata, handler.stream_unary, sends_on=True)
            return grpc.stream_unary_rpc_method_handler(
                wrapped, handler.request_deserializer, handler.response_serializer
            )
        wrapped = self._unary(details.method, metadata, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(wrapped, handler.request_deserializer, handler.response_serializer)

    def _unary(self, method: str, metadata: dict[str, str], handler: Any, *, sends_on: bool = False) -> Any:
        async def serve(request: Any, context: Any) -> Any:
            async with self._call(method, metadata, context, SECONDS, sends_on=sends_on):
                return await handler(request, context)

        return serve

    def _streaming(self, method: str, metadata: dict[str, str], handler: Any, *, sends_on: bool = False) -> Any:
        # It writes rather than yields: what it opens is then closed in the task that opened it, however the call ends.
        async def serve(request: Any, context: Any) -> None:
            async with (
                self._call(method, metadata, context, STREAM_SECONDS, sends_on=sends_on),
                aclosing(handler(request, context)) as responses,
            ):
                async for response in responses:
                    await context.write(response)
                    STREAMED.labels(method).inc()

        return serve

    @asynccontextmanager
    async def _call(
        self, method: str, metadata: dict[str, str], context: Any, seconds: Histogram, *, sends_on: bool = False
    ) -> AsyncIterator[None]:
        """Runs a call as its caller's, in a span of the caller's trace; counts its time under the code it ends with.

        `sends_on`: the caller may still send when the call is refused.
        """
        began = self._clock.monotonic()
        code = grpc.StatusCode.OK
        with span(f"serve{method}", parent=metadata.get("traceparent", ""), kind=SpanKind.SERVER):
            try:
                with acting(await self._admit(method, metadata, context)):
                    yield
            except Failure as failure:
                code = code_of(failure)
                if sends_on:
                    await _hear_out(context)
                await self._refuse(method, failure, context)
            except Exception as error:
                if isinstance(error, OSError) and error.errno in _FULL:
                    full = Unavailable("The disk of the platform is full.", hint="Free some space, then try again.")
                    code = code_of(full)
                    await self._refuse(method, full, context)
                code = grpc.StatusCode.INTERNAL
                await self._crash(method, error, context)
                raise
            except BaseException:
                # The caller left, or its time is up.
                code = grpc.StatusCode.CANCELLED
                raise
            finally:
                seconds.labels(method, code.name).observe(self._clock.monotonic() - began)

    async def _crash(self, method: str, error: Exception, context: Any) -> None:
        """Tells of a bug once, here; the caller hears that there is one, and nothing of what is inside."""
        self._log.error("call.crashed", method=method, traceback="".join(format_exception(error)))
        await context.abort(grpc.StatusCode.INTERNAL, "The platform made a mistake; its log says which.")

    async def _refuse(self, method: str, failure: Failure, context: Any) -> None:
        if failure.kind == "unavailable":
            self._log.info("call.unavailable", method=method, error=str(failure))
        await context.abort(code_of(failure), message_of(failure), trailer_of(failure))

    async def _admit(self, method: str, metadata: dict[str, str], context: Any) -> Ctx:
        row = rule(method)
        actor = await self._identify(method, metadata.get("authorization", ""))
        permits(row, actor)
        left = context.time_remaining()
        return Ctx(
            actor=actor,
            required=row.role,
            request_id=metadata.get("x-request-id", ""),
            traceparent=metadata.get("traceparent", ""),
            deadline=None if left is None or left > 1e6 else self._clock.monotonic() + left,  # noqa: PLR2004 - "no deadline" is a huge number
        )

    async def _identify(self, method: str, header: str) -> Actor:
        if not header:
            return Actor(kind="anonymous")
        scheme, _, credential = header.partition(" ")
        if scheme.lower() != "bearer" or not credential:
            raise Denied("The authorization header is not of the form “Bearer <token>”.", unauthenticated=True)
        if credential.startswith(("lr_", "ls_")):
            return await self._exchange(credential, method.lstrip("/"))
        return self._identity.verify(credential, now=self._clock.now())

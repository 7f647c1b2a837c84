"""A gRPC server that lets nobody in without a row in the authorization table."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib import import_module
from traceback import format_exception
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from libs.kernel.clock import Clock
from libs.kernel.context import Actor, Ctx
from libs.kernel.errors import Denied, Failure
from libs.rpc.authorization import permits, rule
from libs.rpc.client import OPTIONS
from libs.rpc.context import act, acting
from libs.rpc.identity import Identity
from libs.rpc.status import code_of, message_of, trailer_of
from libs.telemetry import get_logger, span

SECONDS: Final = Histogram("lightrail_rpc_seconds", "Time of calls served.", ["method", "code"])
# Turns a credential that is no signed identity (an API token, a session) into the actor it stands for.
Exchange = Callable[[str, str], Awaitable[Actor]]
Servicer = tuple[Callable[[Any, grpc.aio.Server], None], object]


class Server:
    """Serves servicers on one address, with health and reflection."""

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
        self.port = self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Starts to serve; health turns to SERVING."""
        await self._server.start()
        for name in ["", *self._names]:
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def stop(self, grace: float = 5.0) -> None:
        """Health turns to NOT_SERVING, calls under way get `grace` seconds, then it ends."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)


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
            wrapped = self._streaming(details.method, metadata, handler.stream_stream)
            return grpc.stream_stream_rpc_method_handler(
                wrapped, handler.request_deserializer, handler.response_serializer
            )
        if handler.response_streaming:
            wrapped = self._streaming(details.method, metadata, handler.unary_stream)
            return grpc.unary_stream_rpc_method_handler(
                wrapped, handler.request_deserializer, handler.response_serializer
            )
        if handler.request_streaming:
            wrapped = self._unary(details.method, metadata, handler.stream_unary)
            return grpc.stream_unary_rpc_method_handler(
                wrapped, handler.request_deserializer, handler.response_serializer
            )
        wrapped = self._unary(details.method, metadata, handler.unary_unary)
        return grpc.unary_unary_rpc_method_handler(wrapped, handler.request_deserializer, handler.response_serializer)

    def _unary(self, method: str, metadata: dict[str, str], handler: Any) -> Any:
        async def serve(request: Any, context: Any) -> Any:
            with (
                SECONDS.labels(method, "").time(),
                span(f"serve{method}", parent=metadata.get("traceparent", ""), kind=SpanKind.SERVER),
            ):
                try:
                    with acting(await self._admit(method, metadata, context)):
                        return await handler(request, context)
                except Failure as failure:
                    await self._refuse(method, failure, context)
                except Exception as error:
                    await self._crash(method, error, context)
                    raise

        return serve

    def _streaming(self, method: str, metadata: dict[str, str], handler: Any) -> Any:
        async def serve(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                act(await self._admit(method, metadata, context))
                async for response in handler(request, context):
                    yield response
            except Failure as failure:
                await self._refuse(method, failure, context)
            except Exception as error:
                await self._crash(method, error, context)
                raise

        return serve

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

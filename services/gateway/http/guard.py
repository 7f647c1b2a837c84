"""The outermost layer: request ids, trace context, body limits, refusals in time, security headers, counters."""

from __future__ import annotations

import re
from hmac import compare_digest
from http import HTTPStatus
from traceback import format_exception
from typing import Final

from opentelemetry.trace import SpanKind
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from libs.kernel.units import MIB, show_bytes
from libs.telemetry import get_logger, inject, span
from services.gateway.http.linger import Lingering
from services.gateway.http.problems import problem, respond

# JSON bodies: the largest honest one is a service's variables, 1,000 of 64 KiB at most, sent in parts.
BODY_LIMIT: Final = MIB
# The edge's token is here.
PROOF_HEADER: Final = "x-lightrail-edge"
_REQUEST_ID: Final = re.compile(r"^[A-Za-z0-9._:-]{1,128}$")
_TRACEPARENT: Final = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
# Requests that come every few seconds and tell nothing.
_UNTRACED: Final = frozenset({"/api/v1/health"})
_REQUESTS: Final = Counter("lightrail_gateway_requests", "Requests answered.", ["method", "route", "status"])
_SECONDS: Final = Histogram("lightrail_gateway_request_seconds", "Time to the first byte.", ["method", "route"])
_SECURITY: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware around the whole API."""

    def __init__(self, app: ASGIApp, *, clock: Clock, unlimited: re.Pattern[str], dropped: int) -> None:
        self._app = app
        self._clock = clock
        # Bytes of a refused request that are taken in, so that its sender can hear the refusal.
        self._dropped = dropped
        # Paths whose bodies are streamed on and limited elsewhere.
        self._unlimited = unlimited

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id", "")
        request_id = offered if _REQUEST_ID.match(offered) else new_id("request", self._clock)
        parent = headers.get("traceparent", "")
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["traceparent"] = parent if _TRACEPARENT.match(parent) else ""
        lingering = Lingering(receive, send, headers, most=self._dropped)
        receive, answered = lingering.receive, _Answer(lingering.send, request_id, scope, self._clock)
        if scope["path"] in _UNTRACED:
            await self._logged(scope, receive, answered, headers)
            return
        with span(f"gateway/http/{scope['method']}", parent=state["traceparent"], kind=SpanKind.SERVER) as current:
            state["traceparent"] = inject() or state["traceparent"]
            await self._logged(scope, receive, answered, headers)
            current.set_attribute("http.route", _route(scope))
            current.set_attribute("http.response.status_code", answered.status)

    async def _logged(self, scope: Scope, receive: Receive, send: _Answer, headers: Headers) -> None:
        """Tells of a crash once, without the values of variables: they may be secrets."""
        try:
            await self._limited(scope, receive, send, headers)
        except Exception as error:
            get_logger("gateway.http").error(
                "request.crashed",
                path=scope["path"],
                request_id=scope["state"]["request_id"],
                traceback="".join(format_exception(error)),
            )
            if not send.complete:
                raise

    async def _limited(self, scope: Scope, receive: Receive, send: _Answer, headers: Headers) -> None:
        if self._unlimited.match(scope["path"]):
            await self._app(scope, receive, send)
            return
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > BODY_LIMIT:
            document = problem(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(), request_id=scope["state"]["request_id"]
            )
            await respond(document)(scope, receive, send)
            return
        await self._app(scope, _Counted(receive), send)


class _Counted:
    """A body that stops at the limit, for callers who do not say how much they send."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._seen = 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > BODY_LIMIT:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large())
        return message


class _Answer:
    """Adds headers to the answer and counts it."""

    def __init__(self, send: Send, request_id: str, scope: Scope, clock: Clock) -> None:
        self._send = send
        self._request_id = request_id
        self._scope = scope
        self._clock = clock
        self._started = clock.monotonic()
        self.status = 0
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._request_id
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            self._count()
        await self._send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self.complete = True

    def _count(self) -> None:
        method, route = self._scope["method"], _route(self._scope)
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
        _REQUESTS.labels(known, route, str(self.status)).inc()
        _SECONDS.labels(known, route).observe(self._clock.monotonic() - self._started)


def _too_large() -> str:
    return f"The body is larger than {show_bytes(BODY_LIMIT)}, the most a call may carry."


def _route(scope: Scope) -> str:
    """The name of the call, so that ids do not multiply the counters."""
    route = scope.get("route")
    return str(getattr(route, "operation_id", None) or getattr(route, "path", "unknown"))


def remote_address(request: Request) -> str:
    """Where the caller is: as the edge saw it when the request shows the edge's token, else the peer itself.

    Applications reach this port past the edge, and may say anything in a header.
    """
    token: Secret[str] = request.app.state.edge_token
    shown = request.headers.get(PROOF_HEADER, "")
    if token.reveal() and compare_digest(shown.encode(), token.reveal().encode()):
        # The last entry is the edge's own observation; those before it are the caller's words.
        return request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
    return request.client.host if request.client else ""

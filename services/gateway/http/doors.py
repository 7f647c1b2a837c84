"""Deny by default: each route says which RPC it stands for, and nobody passes whom auth would not let call it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Final

from fastapi import Depends, FastAPI, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from libs.kernel.context import Actor, Ctx
from libs.kernel.errors import Denied, Unavailable
from libs.kernel.secret import Secret
from libs.rpc.authorization import Access, rule
from services.gateway.app.credentials import Credentials
from services.gateway.http.backend import Backend

COOKIE: Final = "lightrail_session"
# Longest credential worth asking auth about; a signed identity is no credential here.
LONGEST_CREDENTIAL: Final = 512
BEARER: Final = HTTPBearer(
    auto_error=False, bearerFormat="session or API token", description="A session from login, or an API token."
)
AUTH: Final = "lightrail.auth.v1.AuthService"
PROJECT: Final = "lightrail.project.v1.ProjectService"
GIT: Final = "lightrail.build.v1.GitService"
SOURCE: Final = "lightrail.project.v1.SourceService"
BUILD: Final = "lightrail.build.v1.BuildService"
UPKEEP: Final = "lightrail.build.v1.BuildUpkeepService"
DEPLOY: Final = "lightrail.deploy.v1.DeploymentService"
METERING: Final = "lightrail.metering.v1.MeteringService"
FACTS: Final = "lightrail.common.v1.FactsService"


@dataclass(frozen=True, slots=True)
class Row:
    """A route's row: the RPC whose rule it follows; empty for a door that shows nothing of anyone."""

    rpc: str
    public: bool = False
    # Strangers pass too, but as nobody: they are shown nothing of anyone.
    optional: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who called, and how to ask again whether they still may."""

    ctx: Ctx
    method: str
    credential: Secret[str] | None
    credentials: Credentials

    async def again(self) -> Ctx:
        """The caller as auth sees them now; for streams that outlive a revocation. Denied when that is over."""
        if self.credential is None:
            return self.ctx
        admission = await self.credentials.admit(self.credential, self.method)
        return Ctx(actor=admission.actor, request_id=self.ctx.request_id, traceparent=self.ctx.traceparent)


_rows: dict[Callable[..., Any], Row] = {}


@cache
def authorized(rpc: str) -> Any:  # noqa: ANN401 - FastAPI's marker
    """A dependency that admits whom auth lets call `rpc` ("package.Service/Method") and gives the Caller."""

    async def admit(
        request: Request, _bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> Caller:
        credential = credential_of(request)
        if credential is None:
            raise Denied(
                "This call needs a session or an API token.",
                unauthenticated=True,
                hint="Send it as “Authorization: Bearer …”; lr login gets one.",
            )
        credentials: Credentials = request.app.state.credentials
        admission = await credentials.admit(credential, rpc)
        return Caller(context_of(request, admission.actor), rpc, credential, credentials)

    _rows[admit] = Row(rpc)
    return Depends(admit)


@cache
def public(rpc: str) -> Any:  # noqa: ANN401 - FastAPI's marker
    """A dependency for routes whose RPC is open to anyone, as login is."""

    async def admit(request: Request) -> Caller:
        return Caller(context_of(request, Actor(kind="anonymous")), rpc, None, request.app.state.credentials)

    _rows[admit] = Row(rpc, public=True)
    return Depends(admit)


@cache
def open_door(why: str) -> Any:  # noqa: ANN401 - FastAPI's marker
    """A dependency for routes that call no RPC and show nothing of anyone; `why` says so."""

    async def admit() -> None:
        return None

    _rows[admit] = Row("", public=True, why=why)
    return Depends(admit)


@cache
def visitor(rpc: str) -> Any:  # noqa: ANN401 - FastAPI's marker
    """A dependency for pages that show more to whom auth lets call `rpc`: gives the Caller, or None for a stranger."""

    async def admit(request: Request) -> Caller | None:
        credential = credential_of(request)
        if credential is None:
            return None
        credentials: Credentials = request.app.state.credentials
        try:
            admission = await credentials.admit(credential, rpc)
        except (Denied, Unavailable):
            return None
        return Caller(context_of(request, admission.actor), rpc, credential, credentials)

    _rows[admit] = Row(rpc, optional=True)
    return Depends(admit)


def declare(admit: Callable[..., Any], row: Row) -> None:
    """Writes down the row of a dependency that admits in a way of its own."""
    _rows[admit] = row


def credential_of(request: Request) -> Secret[str] | None:
    """The bearer token; for reading only, also the cookie of the status page."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if not scheme and request.method in ("GET", "HEAD"):
        value = request.cookies.get(COOKIE, "")
    elif scheme.lower() != "bearer":
        return None
    value = value.strip()
    if not value or not value.isascii() or not value.isprintable() or len(value) > LONGEST_CREDENTIAL:
        return None
    return Secret(value)


def rows(app: FastAPI) -> Iterator[tuple[str, Row | None]]:
    """Every route the application answers, as "GET /path", and the row it declares; None: none, or more than one."""
    for route in iter_route_contexts(app.routes):
        found: set[Row] = set()
        if isinstance(route.original_route, APIRoute):
            found = {row for call in _calls(route.dependant) if (row := _rows.get(call)) is not None}
        name = f"{','.join(sorted(route.methods or ()))} {route.path}"
        yield name, found.pop() if len(found) == 1 else None


def check(app: FastAPI) -> None:
    """Returns when every route has a sound row. RuntimeError names the others; the gateway then never starts."""
    wrong = []
    for name, row in rows(app):
        if row is None:
            wrong.append(f"{name} declares no RPC")
        elif row.rpc and rule(row.rpc).access in (Access.UNSPECIFIED, Access.SERVICE):
            wrong.append(f"{name} stands for {row.rpc}, which is open to no person")
        elif row.public and row.rpc and rule(row.rpc).access is not Access.PUBLIC:
            wrong.append(f"{name} is public, but {row.rpc} is not")
    if wrong:
        raise RuntimeError("Routes without a sound row: " + "; ".join(wrong))


def _calls(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for dependency in dependant.dependencies:
        if dependency.call is not None:
            yield dependency.call
        yield from _calls(dependency)


def context_of(request: Request, actor: Actor) -> Ctx:
    """The call's context for this actor."""
    state = request.scope.get("state", {})
    return Ctx(actor=actor, request_id=state.get("request_id", ""), traceparent=state.get("traceparent", ""))


def _backend(request: Request) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


To = Annotated[Backend, Depends(_backend)]

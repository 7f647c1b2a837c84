"""The application: routes, doors, problems, guard. Refuses to exist when a route has no row."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from fastapi import FastAPI
from starlette.types import ASGIApp

from libs.kernel.clock import Clock
from libs.kernel.secret import Secret
from libs.rpc import Peer
from libs.runtime.version import platform_version
from services.gateway.app.attempts import Attempts
from services.gateway.app.credentials import Credentials
from services.gateway.app.feed import Feed
from services.gateway.app.ports import FactSources
from services.gateway.http import docs, doors, problems
from services.gateway.http.backend import Backend
from services.gateway.http.guard import Guard
from services.gateway.http.pages import routes as pages
from services.gateway.http.routes import (
    accounts,
    builds,
    deployments,
    git,
    operations,
    projects,
    session,
    snapshots,
    sources,
    streams,
    upkeep,
    variables,
)

PREFIX: Final = "/api/v1"
_UPLOADS: Final = re.compile(rf"^({PREFIX}/services/[^/]+/snapshots|/git/[^?]+/git-receive-pack)$")
_ROUTERS: Final = (
    operations.router,
    session.router,
    accounts.router,
    projects.router,
    variables.router,
    snapshots.router,
    sources.router,
    deployments.router,
    builds.router,
    upkeep.router,
    streams.router,
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with."""

    backend: Backend
    credentials: Credentials
    attempts: Attempts
    feed: Feed
    sources: FactSources
    # Services whose health the platform's health is.
    watched: Mapping[str, Peer]
    clock: Clock
    edge_port: int
    # What the edge shows; empty: nobody is taken for the edge.
    edge_token: Secret[str]
    # Bytes.
    snapshot_limit: int
    # Set when the platform stops: streams end.
    stopping: asyncio.Event


def create_app(parts: Parts) -> FastAPI:
    """Builds the API. RuntimeError when a route declares no sound row."""
    app = FastAPI(
        title="Lightrail",
        version=platform_version(),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        swagger_ui_oauth2_redirect_url=None,
    )
    for name in Parts.__dataclass_fields__:
        setattr(app.state, name, getattr(parts, name))
    for router in _ROUTERS:
        app.include_router(router, prefix=PREFIX)
    app.include_router(git.router)
    app.include_router(docs.router)
    app.include_router(pages.router)
    problems.install(app)
    pages.install(app)
    doors.check(app)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]  # FastAPI's documented way to extend it
    return app


def guarded(app: FastAPI, clock: Clock) -> ASGIApp:
    """The application inside its guard: what a server serves."""
    # Twice the largest upload: whoever sends a little too much is told so.
    return Guard(app, clock=clock, unlimited=_UPLOADS, dropped=2 * app.state.snapshot_limit)


def _openapi(app: FastAPI) -> dict[str, object]:
    if app.openapi_schema is None:
        app.openapi_schema = docs.describe(app, app.version)
    return app.openapi_schema

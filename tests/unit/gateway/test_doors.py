"""Deny by default: a route without a sound row keeps the gateway from starting."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI

from services.gateway.http import doors
from services.gateway.http.doors import AUTH, DEPLOY, authorized, open_door, public


def app_with(*dependencies: Any) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    router = APIRouter()

    @router.get("/route", dependencies=list(dependencies))
    async def route() -> None:
        return None

    app.include_router(router, prefix="/deep")
    return app


@pytest.mark.parametrize(
    "dependency", [authorized(f"{DEPLOY}/GetDeployment"), public(f"{AUTH}/Login"), open_door("says nothing")]
)
def test_a_route_with_one_sound_row_passes(dependency: Any) -> None:
    doors.check(app_with(dependency))


@pytest.mark.parametrize(
    ("dependencies", "why"),
    [
        ([], "declares no RPC"),
        ([authorized(f"{DEPLOY}/GetDeployment"), public(f"{AUTH}/Login")], "declares no RPC"),
        ([authorized(f"{DEPLOY}/Nonsense")], "open to no person"),
        ([authorized(f"{DEPLOY}/SampleInstances")], "open to no person"),
        ([public(f"{DEPLOY}/GetDeployment")], "is public"),
    ],
)
def test_a_route_without_a_sound_row_is_named(dependencies: list[Any], why: str) -> None:
    with pytest.raises(RuntimeError, match=r"/deep/route.*") as caught:
        doors.check(app_with(*dependencies))
    assert why in str(caught.value)


def test_routes_that_are_no_api_routes_are_refused() -> None:
    app = FastAPI(openapi_url="/openapi.json", docs_url=None, redoc_url=None)
    with pytest.raises(RuntimeError, match=r"openapi\.json"):
        doors.check(app)


def test_a_row_below_other_dependencies_is_found() -> None:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    async def inner(_caller: Annotated[Any, authorized(f"{DEPLOY}/GetDeployment")]) -> None:
        return None

    app.add_api_route("/x", lambda: None, dependencies=[Depends(inner)])
    doors.check(app)
    assert [row.rpc for _, row in doors.rows(app) if row] == [f"{DEPLOY}/GetDeployment"]

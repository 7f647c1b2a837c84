"""Wrong requests, crashes: always a problem document that explains itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.problems import problem
from tests.integration.gateway.world import EMAIL

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("method", "path", "more", "status", "kind"),
    [
        ("GET", "/nothing", {}, 404, "not_found"),
        ("PUT", "/me", {}, 405, "invalid"),
        ("POST", "/projects", {"content": b"{", "headers": JSON}, 400, "invalid"),
        ("POST", "/projects", {"content": b"[" * 100_000, "headers": JSON}, 400, "invalid"),
        ("POST", "/projects", {"content": b'"\xff"', "headers": JSON}, 400, "invalid"),
        ("POST", "/projects", {"content": b'{"name":"a"}', "headers": {"Content-Type": "text/plain"}}, 422, "invalid"),
        ("POST", "/projects", {"json": {"name": "x", "colour": "blue"}}, 422, "invalid"),
        ("POST", "/projects", {"json": {"name": 7}}, 422, "invalid"),
        ("POST", "/projects", {"json": {"name": "nul\0"}}, 422, "invalid"),
        ("POST", "/projects", {"content": rb'{"name":"\ud800"}', "headers": JSON}, 422, "invalid"),
        ("POST", "/projects", {"json": {"name": ""}}, 422, "invalid"),
        ("POST", "/projects", {"json": {"name": "слово"}}, 422, "invalid"),
        ("POST", "/projects", {"json": {"name": "x" * 3_000_000}}, 413, "exhausted"),
        ("GET", "/projects?limit=0", {}, 422, "invalid"),
        ("GET", "/projects?limit=99999999999999999999", {}, 422, "invalid"),
        ("GET", "/projects/%00", {}, 404, "not_found"),
        ("GET", "/deployments/dep_", {}, 404, "not_found"),
        ("GET", "/services/svc_nonsense", {}, 404, "not_found"),
        ("GET", "/services", {}, 422, "invalid"),
        ("POST", "/deployments", {"json": {}}, 422, "invalid"),
        ("POST", "/deployments", {"json": {"service_name": "x", "snapshot_id": "y"}}, 404, "not_found"),
    ],
)  # fmt: skip
async def test_wrong_requests_are_told_what_is_wrong(
    gateway: Gateway, method: str, path: str, more: dict[str, Any], status: int, kind: str
) -> None:
    problem(await gateway.call(method, path, **more), status, kind)


async def test_a_body_without_a_length_stops_at_the_limit(gateway: Gateway) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b'{"name":"'
        for _ in range(64):
            yield b"x" * 64 * 1024

    answer = await gateway.call("POST", "/projects", content=endless(), headers=JSON)
    problem(answer, 413, "exhausted")


async def test_secrets_in_a_wrong_body_are_not_repeated(gateway: Gateway) -> None:
    answer = await gateway.call("POST", "/login", token="", json={"email": EMAIL, "password": ["hunter2"]})
    assert problem(answer, 422, "invalid")["field"] == "password"
    assert "hunter2" not in answer.text


async def test_a_crash_behind_the_api_is_a_problem_that_gives_nothing_away(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await gateway.deployment()

    async def crash(*_: Any) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("services.gateway.http.routes.deployments.read", crash)
    answer = await gateway.call("GET", f"/deployments/{made['id']}")
    told = problem(answer, 500, "internal")
    assert "secret detail" not in answer.text
    assert told["request_id"] in told["hint"]

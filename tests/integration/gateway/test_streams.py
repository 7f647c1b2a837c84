"""Server-sent events: states, build logs, logs, facts; resumed, ended and cut off in order."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from libs.protogen.lightrail.build.v1 import events_pb2 as build_events
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from libs.protogen.lightrail.deploy.v1 import events_pb2 as deploy_events
from libs.testing.eventually import eventually
from services.gateway.http import sse
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.world import FAILED, LIVE, STATES

BUILDING = STATES.DEPLOYMENT_STATE_BUILDING


class Listener:
    """Reads a stream in order."""

    def __init__(self, source: httpx2.EventSource) -> None:
        self._events = aiter(source)

    async def next(self) -> tuple[str, Any, str]:
        event = await anext(self._events)
        while not event.data:
            event = await anext(self._events)
        return event.event, json.loads(event.data), event.id

    async def until_end(self) -> list[tuple[str, Any, str]]:
        return [(event.event, json.loads(event.data), event.id) async for event in self._events if event.data]


@asynccontextmanager
async def listening(gateway: Gateway, path: str, **headers: str) -> AsyncIterator[Listener]:
    sent = {"Authorization": f"Bearer {gateway.session}", "Accept": "text/event-stream", **headers}
    async with gateway.http.stream("GET", f"/api/v1{path}", headers=sent) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Listener(httpx2.EventSource(answer))


async def test_states_are_told_until_the_deployment_is_live(gateway: Gateway) -> None:
    made = await gateway.deployment()
    async with listening(gateway, f"/deployments/{made['id']}/events") as stream:
        event, data, _ = await stream.next()
        assert (event, data["state"]) == ("state", "queued")
        await gateway.world.moves(made["id"], BUILDING)
        _, data, mark = await stream.next()
        assert data["state"] == "building"
        await gateway.world.moves(made["id"], LIVE)
        rest = await stream.until_end()
    assert [(event, data.get("state")) for event, data, _ in rest] == [("state", "active"), ("end", None)]
    async with listening(gateway, f"/deployments/{made['id']}/events", **{"Last-Event-ID": mark}) as stream:
        assert [data.get("state") for _, data, _ in await stream.until_end()] == ["active", None]


async def test_a_fact_wakes_the_stream_before_its_next_look(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.http.routes.streams.LOOK", 600)
    made = await gateway.deployment()
    async with listening(gateway, f"/deployments/{made['id']}/events") as stream:
        await stream.next()
        await gateway.world.moves(made["id"], FAILED, "The build failed.")
        payload = deploy_events.DeploymentChanged(deployment_id=made["id"], state="failed")
        await gateway.fact(
            "lightrail.deploy.deployment.failed.v1",
            payload.SerializeToString(),
            workspace_id=made["workspace_id"],
            correlation_id=made["id"],
        )
        _, data, _ = await stream.next()
        assert (data["state"], data["reason"]) == ("failed", "The build failed.")


async def test_a_build_log_waits_for_its_build_and_follows_it(gateway: Gateway) -> None:
    made = await gateway.deployment()
    world = gateway.world
    async with listening(gateway, f"/deployments/{made['id']}/build-logs?follow=true") as stream:
        world.building.add(made["id"])
        world.build_lines[made["id"]] = ["one"]
        event, data, number = await stream.next()
        assert (event, data["text"], data["step"], number) == ("line", "one", "install", "1")
        world.build_lines[made["id"]].append("two")
        await world.tell()
        assert (await stream.next())[1]["text"] == "two"
        world.building.clear()
        await world.tell()
        assert [event for event, _, _ in await stream.until_end()] == ["end"]
    async with listening(gateway, f"/deployments/{made['id']}/build-logs", **{"Last-Event-ID": "1"}) as stream:
        assert [data.get("text") for _, data, _ in await stream.until_end()] == ["two", None]
    rows = (await gateway.json("GET", f"/deployments/{made['id']}/build-logs?after=1"))["items"]
    assert [row["text"] for row in rows] == ["two"]


async def test_a_build_log_is_shown_from_the_tail_and_followed(gateway: Gateway) -> None:
    made = await gateway.deployment()
    world, path = gateway.world, f"/deployments/{made['id']}/build-logs"
    world.building.add(made["id"])
    world.build_lines[made["id"]] = ["one", "two", "three"]
    rows = (await gateway.json("GET", f"{path}?tail=2"))["items"]
    assert [row["text"] for row in rows] == ["two", "three"]
    assert len((await gateway.json("GET", path))["items"]) == 3
    assert [row["number"] for row in (await gateway.json("GET", f"{path}?tail=1&after=1"))["items"]] == [2, 3]
    async with listening(gateway, f"{path}?tail=1", **{"Last-Event-ID": "1"}) as stream:
        assert [data.get("text") for _, data, _ in await stream.until_end()] == ["two", "three", None]
    async with listening(gateway, f"{path}?follow=true&tail=2") as stream:
        assert [(await stream.next())[1]["text"] for _ in range(2)] == ["two", "three"]
        world.build_lines[made["id"]].append("four")
        world.building.clear()
        await world.tell()
        assert [data.get("text") for _, data, _ in await stream.until_end()] == ["four", None]


@pytest.mark.parametrize("tail", ["-1", "abc", "5001"])
async def test_a_tail_that_is_none_is_refused(gateway: Gateway, tail: str) -> None:
    made = await gateway.deployment()
    for log in ("build-logs", "logs"):
        answer = await gateway.call("GET", f"/deployments/{made['id']}/{log}?tail={tail}")
        assert (answer.status_code, answer.json()["field"]) == (422, "tail")


async def test_who_waits_for_a_build_with_a_tail_misses_none_of_its_lines(gateway: Gateway) -> None:
    made = await gateway.deployment()
    async with listening(gateway, f"/deployments/{made['id']}/build-logs?follow=true&tail=1") as stream:
        await eventually(lambda: "StreamBuildLog" in [name for name, _ in gateway.world.calls])
        gateway.world.build_lines[made["id"]] = ["one", "two"]
        assert [data.get("text") for _, data, _ in await stream.until_end()] == ["one", "two", None]


async def test_a_deployment_without_a_build_has_an_empty_log_that_ends(gateway: Gateway) -> None:
    made = await gateway.deployment()
    await gateway.world.moves(made["id"], LIVE)
    assert (await gateway.json("GET", f"/deployments/{made['id']}/build-logs"))["items"] == []
    async with listening(gateway, f"/deployments/{made['id']}/build-logs?follow=true") as stream:
        assert [event for event, _, _ in await stream.until_end()] == ["end"]


async def test_logs_are_shown_from_the_tail_and_followed(gateway: Gateway) -> None:
    made = await gateway.deployment()

    def printed(number: int) -> None:
        line = deploy_pb2.LogLine(cursor=number, deployment_id=made["id"], stream="output", text=f"line {number}")
        line.time.FromDatetime(gateway.world.now())
        gateway.world.log_lines.append(line)

    for number in range(1, 6):
        printed(number)
    rows = (await gateway.json("GET", f"/services/{made['service_id']}/logs?tail=2"))["items"]
    assert [row["text"] for row in rows] == ["line 4", "line 5"]
    rows = (await gateway.json("GET", f"/deployments/{made['id']}/logs?after=3"))["items"]
    assert [row["cursor"] for row in rows] == [4, 5]
    async with listening(gateway, f"/deployments/{made['id']}/logs?follow=true&tail=1") as stream:
        assert (await stream.next())[1]["text"] == "line 5"
        printed(6)
        await gateway.world.tell()
        assert (await stream.next())[1]["text"] == "line 6"


async def test_facts_reach_only_who_may_see_them(gateway: Gateway) -> None:
    made = await gateway.deployment()
    requested = deploy_events.DeploymentRequested(
        deployment_id=made["id"], project_id=made["project_id"], workspace_id=made["workspace_id"]
    )
    started = build_events.BuildStarted(deployment_id=made["id"], workspace_id=made["workspace_id"])
    own = {"workspace_id": made["workspace_id"], "correlation_id": made["id"]}
    async with listening(gateway, f"/events?project_id={made['project_id']}") as stream:
        await eventually(lambda: bool(gateway.bus._listeners))
        await gateway.fact(
            "lightrail.deploy.deployment.requested.v1", requested.SerializeToString(), workspace_id="wsp_other"
        )
        await gateway.fact("lightrail.deploy.deployment.requested.v1", requested.SerializeToString(), **own)
        # It names no project; the deployment it belongs to was placed by the fact before.
        await gateway.fact("lightrail.build.build.started.v1", started.SerializeToString(), **own)
        await gateway.fact("lightrail.nobody.knows.this.v1", b"\xff", **own)
        event, data, _ = await stream.next()
        assert (event, data["type"]) == ("fact", "lightrail.deploy.deployment.requested.v1")
        assert data["data"]["deployment_id"] == made["id"]
        assert data["workspace_id"] == made["workspace_id"]
        _, data, _ = await stream.next()
        assert data["type"] == "lightrail.build.build.started.v1"
        _, data, _ = await stream.next()
        assert data["type"] == "lightrail.nobody.knows.this.v1"


async def test_a_quiet_stream_beats_and_ends_when_the_caller_is_no_longer_welcome(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.gateway.app.credentials.LIFETIME", 0.0)
    monkeypatch.setattr(sse.EventStream.__init__, "__kwdefaults__", {"request_id": "", "heartbeat": 0.05})
    made = await gateway.deployment()
    sent = {"Authorization": f"Bearer {gateway.session}"}
    path = f"/api/v1/services/{made['service_id']}/logs?follow=true"
    async with gateway.http.stream("GET", path, headers=sent) as answer:
        lines = aiter(answer.aiter_lines())
        while await anext(lines) != ": still here":
            pass
        gateway.world.actors.clear()
        text = [line async for line in lines]
    assert "event: error" in text
    assert any('"kind":"denied"' in line for line in text)


async def test_streams_end_when_the_platform_stops(gateway: Gateway) -> None:
    made = await gateway.deployment()
    async with listening(gateway, f"/deployments/{made['id']}/events") as stream:
        await stream.next()
        gateway.server._on_stop()
        # No `end`: whoever listens connects again and goes on.
        assert await stream.until_end() == []

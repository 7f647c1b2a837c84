"""Replacing what runs behind a name, under load: nobody notices."""

from __future__ import annotations

import asyncio

import pytest

from libs.testing.eventually import eventually
from tests.integration.router import apps
from tests.integration.router.conftest import Calls, Stand

pytestmark = pytest.mark.wheels

SWITCHES = 50


@pytest.mark.slow
async def test_fifty_switches_under_load_fail_no_request(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    current = apps.App("v0")
    await current.start()
    await calls.publish("svc_hello", [current.port], 1)
    load = apps.Load(stand.edge_port, host)
    async with load.by(12):
        for number in range(1, SWITCHES + 1):
            fresh = apps.App(f"v{number}", delay=0.002)
            await fresh.start()
            await calls.publish("svc_hello", [fresh.port], number + 1)

            async def idle() -> None:
                assert (await calls.activity("svc_hello")).departed_active_requests == 0

            await eventually(idle, every=0.01)
            await current.stop()
            current = fresh
    await current.stop()
    assert load.failures == []
    assert load.good > SWITCHES * 10
    assert f"v{SWITCHES}" in load.seen


async def test_new_requests_go_to_the_new_instance_at_once(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("a") as first, apps.running("b") as second:
        for number in range(1, 41):
            target = first if number % 2 else second
            await calls.publish("svc_hello", [target.port], number)
            answers = [await stand.get(host) for _ in range(3)]
            assert {answer.text.split()[0] for answer in answers} == {target.name}, f"switch {number}"


async def test_a_request_under_way_finishes_where_it_began_and_is_counted(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("old") as old, apps.running("new") as new, asyncio.TaskGroup() as group:
        await calls.publish("svc_hello", [old.port], 1)
        held = group.create_task(stand.get(host, "/held"))

        async def arrived() -> None:
            assert old.under_way == 1

        await eventually(arrived)
        activity = await calls.activity("svc_hello")
        assert [(one.port, one.active_requests) for one in activity.endpoints] == [(old.port, 1)]
        assert activity.departed_active_requests == 0
        await calls.publish("svc_hello", [new.port], 2)
        activity = await calls.activity("svc_hello")
        assert {one.port: one.active_requests for one in activity.endpoints} == {old.port: 1, new.port: 0}
        assert activity.departed_active_requests == 1
        assert (await stand.get(host)).text.startswith("new")
        old.release.set()
        assert (await held).text.startswith("old /held")

        async def idle() -> None:
            assert (await calls.activity("svc_hello")).departed_active_requests == 0

        await eventually(idle)


async def test_taking_everything_away_lets_requests_finish(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("old") as old, asyncio.TaskGroup() as group:
        await calls.publish("svc_hello", [old.port], 1)
        held = group.create_task(stand.get(host, "/held"))

        async def arrived() -> None:
            assert old.under_way == 1

        await eventually(arrived)
        await calls.publish("svc_hello", [], 2)
        assert (await stand.get(host)).status == 503
        assert (await calls.activity("svc_hello")).departed_active_requests == 1
        old.release.set()
        assert (await held).status == 200


async def test_a_drained_endpoint_leaves_the_edge(stand: Stand, calls: Calls) -> None:
    async with apps.running("old") as old, apps.running("new") as new:
        await calls.publish("svc_hello", [old.port], 1)
        await calls.publish("svc_hello", [new.port], 2)
        assert len((await calls.activity("svc_hello")).endpoints) == 2

        async def left() -> None:
            assert [one.port for one in (await calls.activity("svc_hello")).endpoints] == [new.port]

        await eventually(left, within=20, every=0.25)


async def test_several_instances_share_the_requests(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("a") as a, apps.running("b") as b, apps.running("c") as c:
        await calls.publish("svc_hello", [a.port, b.port, c.port], 1)
        for _ in range(60):
            await stand.get(host)
        assert min(a.served, b.served, c.served) > 5


async def test_bytes_and_requests_are_counted_for_each_app(stand: Stand, calls: Calls) -> None:
    host = await calls.claim("svc_hello")
    async with apps.running("hello") as app:
        await calls.publish("svc_hello", [app.port], 1)
        sent = 0
        for _ in range(5):
            sent += len((await stand.get(host)).text)
        (sample,) = (await calls.traffic()).samples
        assert (sample.service_id, sample.environment_id, sample.requests) == ("svc_hello", "env_a", 5)
        assert sent < sample.egress_bytes < sent + 5 * 200, "bodies and heads, nothing else"
        assert sample.edge_epoch
        again = await calls.traffic()
        assert again.samples[0].edge_epoch == sample.edge_epoch

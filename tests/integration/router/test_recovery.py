"""What survives the death of each part."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import AsyncExitStack

import pytest

from libs.embedded.ports import free_port
from libs.kernel.context import Actor
from libs.kernel.errors import Conflict, Denied, NotFound, Unavailable
from libs.protogen.lightrail.common.v1 import facts_pb2, facts_pb2_grpc
from libs.protogen.lightrail.project.v1.events_pb2 import ServiceDeleted
from libs.rpc import Server
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.router.adapters import ads
from services.router.adapters.xds import Shape, Translator
from services.router.domain.world import App, Endpoint, Key, Spot, World
from tests.integration.router import apps
from tests.integration.router.conftest import Stand

pytestmark = pytest.mark.wheels


async def test_a_killed_edge_comes_back_with_everything(stand: Stand) -> None:
    async with stand.router(), stand.calls() as calls, apps.running("hello") as app:
        host = await calls.claim("svc_hello")
        async with stand.edge() as pid:
            await stand.serving()
            await calls.publish("svc_hello", [app.port])
            assert (await stand.get(host)).text.startswith("hello")
            epoch = (await calls.traffic()).samples[0].edge_epoch
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match="edge"):
            await calls.activity("svc_hello")
        async with stand.edge():
            await stand.serving()
            assert (await stand.get(host)).text.startswith("hello")
            sample = (await calls.traffic()).samples[0]
            assert (sample.requests, sample.edge_epoch != epoch) == (1, True)


async def test_the_edge_serves_while_the_router_is_away_and_obeys_when_it_is_back(stand: Stand) -> None:
    async with AsyncExitStack() as edge, apps.running("a") as a, apps.running("b") as b:
        async with stand.router(), stand.calls() as calls:
            await edge.enter_async_context(stand.edge())
            await stand.serving()
            host = await calls.claim("svc_hello")
            await calls.publish("svc_hello", [a.port], 1)
        load = apps.Load(stand.edge_port, host)
        async with load.by(4):
            for number in range(3):
                assert (await stand.get(host)).text.startswith("a")
                async with stand.router(), stand.calls() as calls:
                    await calls.publish("svc_hello", [a.port], 1)
                    if number == 2:
                        await calls.publish("svc_hello", [b.port], 2)
                        assert (await stand.get(host)).text.startswith("b")
        assert load.failures == []


async def test_without_an_edge_publishing_says_so_and_the_edge_gets_it_later(stand: Stand) -> None:
    async with stand.router(), stand.calls() as calls, apps.running("hello") as app:
        host = await calls.claim("svc_hello")
        with pytest.raises(Unavailable, match="No edge is connected"):
            await calls.publish("svc_hello", [app.port], within=1.0)
        async with stand.edge():
            await stand.serving()
            assert (await stand.get(host)).text.startswith("hello")


async def test_an_edge_gets_its_configuration_back_without_a_database(stand: Stand) -> None:
    async with apps.running("hello") as app, asyncio.TaskGroup() as group:
        async with stand.router(), stand.edge(), stand.calls() as calls:
            await stand.serving()
            host = await calls.claim("svc_hello")
            await calls.publish("svc_hello", [app.port])
            file = stand.room / "state" / "router-world.json"
            await eventually(lambda: str(app.port) in file.read_text())
        database = stand.environ["LIGHTRAIL_ROUTER_DATABASE_URL"]
        stand.environ["LIGHTRAIL_ROUTER_DATABASE_URL"] = f"postgresql://nobody@127.0.0.1:{free_port()}/none"

        async def waiting() -> None:
            async with stand.router():
                raise AssertionError("it opened without a database")

        router = group.create_task(waiting())
        async with stand.edge():
            await stand.serving()
            assert (await stand.get(host)).text.startswith("hello")
        router.cancel()
        stand.environ["LIGHTRAIL_ROUTER_DATABASE_URL"] = database


class Project(facts_pb2_grpc.FactsServiceServicer):
    """As much of project as the router listens to."""

    def __init__(self, facts: list[facts_pb2.Fact]) -> None:
        self._facts = facts

    async def ReadFacts(self, request: facts_pb2.ReadFactsRequest, context: object) -> facts_pb2.ReadFactsResponse:
        return facts_pb2.ReadFactsResponse(
            facts=[fact for fact in self._facts if fact.sequence > request.after], head=len(self._facts)
        )

    async def ListDeadLetters(self, request: object, context: object) -> facts_pb2.ListDeadLettersResponse:
        return facts_pb2.ListDeadLettersResponse()

    async def ReplayDeadLetter(self, request: object, context: object) -> facts_pb2.ReplayDeadLetterResponse:
        return facts_pb2.ReplayDeadLetterResponse()


async def test_a_deleted_service_leaves_the_edge(stand: Stand) -> None:
    facts: list[facts_pb2.Fact] = []
    project = Server(
        stand.environ["LIGHTRAIL_PROJECT_ADDRESS"],
        [(facts_pb2_grpc.add_FactsServiceServicer_to_server, Project(facts))],
        identity=stand.identity,
        exchange=nobody,
        clock=stand.clock,
    )
    await project.start()
    try:
        async with stand.router(), stand.edge(), stand.calls() as calls, apps.running("hello") as app:
            await stand.serving()
            host = await calls.claim("svc_hello")
            await calls.publish("svc_hello", [app.port])
            deleted = ServiceDeleted(service_id="svc_hello", workspace_id="wsp_a")
            facts.append(
                facts_pb2.Fact(
                    id="fct_1",
                    source="project",
                    sequence=1,
                    subject="lightrail.project.service.deleted.v1",
                    workspace_id="wsp_a",
                    payload=deleted.SerializeToString(),
                )
            )

            async def gone() -> None:
                assert (await stand.get(host)).text.startswith("gateway")

            await eventually(gone, within=20)
            assert await calls.names("svc_hello") == []
            with pytest.raises(NotFound):
                await calls.claim("svc_hello")
    finally:
        await project.stop(0.1)


async def nobody(credential: str, method: str) -> Actor:
    raise Denied("Nobody is known here.", unauthenticated=True)


async def test_every_connected_edge_is_waited_for(stand: Stand) -> None:
    clock = SystemClock()
    edges = ads.Edges(Translator(Shape(Spot("127.0.0.1", stand.edge_port), Spot("127.0.0.1", 9))), clock)
    key = Key("svc_hello", "env_a")
    async with ads.serving(edges, stand.ads), stand.edge("first") as pid:
        await edges.put(World(1))
        await edges.put(World(2, (App(key, "hello.localhost", (Endpoint("i", "127.0.0.1", 4001),)),)))
        await edges.until_serving(key, 2, 10)
        os.kill(pid, signal.SIGSTOP)
        try:
            await edges.put(World(3, (App(key, "hello.localhost", (Endpoint("i", "127.0.0.1", 4002),)),)))
            with pytest.raises(Unavailable, match="first has not confirmed"):
                await edges.until_serving(key, 3, 0.3)
        finally:
            os.kill(pid, signal.SIGCONT)
        await edges.until_serving(key, 3, 10)


async def test_what_envoy_refuses_is_told_with_its_reason_and_holds_up_nobody(stand: Stand) -> None:
    edges = ads.Edges(Translator(Shape(Spot("127.0.0.1", stand.edge_port), Spot("127.0.0.1", 9))), SystemClock())
    good, bad = Key("svc_good", "env_a"), Key("svc_bad", "env_a")

    async def publish(revision: int, address: str, port: int) -> None:
        apps_now = (
            App(bad, "bad.localhost", (Endpoint("i", address, port),)),
            App(good, "good.localhost", (Endpoint("i", "127.0.0.1", port),)),
        )
        await edges.put(World(revision, apps_now))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(ads.serving(edges, stand.ads))
        await stack.enter_async_context(stand.edge())
        one = await stack.enter_async_context(apps.running("one"))
        two = await stack.enter_async_context(apps.running("two"))
        await publish(1, "127.0.0.1", one.port)
        await edges.until_serving(bad, 1, 10)
        await publish(2, "not-an-address", two.port)
        await edges.until_serving(good, 2, 10)
        with pytest.raises(Conflict, match=r"malformed IP address"):
            await edges.until_serving(bad, 2, 10)
        assert (await stand.get("good.localhost")).text.startswith("two")
        assert (await stand.get("bad.localhost")).text.startswith("one"), "the last good stays"
        await publish(3, "127.0.0.1", two.port)
        await edges.until_serving(bad, 3, 10)
        assert (await stand.get("bad.localhost")).text.startswith("two")


async def test_an_app_that_is_bad_from_the_start_does_not_keep_others_out(stand: Stand) -> None:
    edges = ads.Edges(Translator(Shape(Spot("127.0.0.1", stand.edge_port), Spot("127.0.0.1", 9))), SystemClock())
    bad = App(Key("svc_bad", "env_a"), "bad.localhost", (Endpoint("i", "not-an-address", 4001),))
    async with ads.serving(edges, stand.ads), stand.edge(), apps.running("good") as app:
        for number in range(3):
            good = App(
                Key(f"svc_{number}", "env_a"), f"good-{number}.localhost", (Endpoint("i", "127.0.0.1", app.port),)
            )
            await edges.put(World(number, (bad, good)))
            await edges.until_serving(good.key, number, 10)
            assert (await stand.get(good.host)).text.startswith("good")
            with pytest.raises(Conflict, match="refuses"):
                await edges.until_serving(bad.key, number, 10)
            answer = await stand.get(bad.host)
            assert (answer.status, "no running deployment" in answer.text) == (503, True)


async def test_an_edge_whose_port_is_taken_says_so(stand: Stand) -> None:
    async with apps.running("squatter") as squatter:
        edges = ads.Edges(Translator(Shape(Spot("127.0.0.1", squatter.port), Spot("127.0.0.1", 9))), SystemClock())
        key = Key("svc_hello", "env_a")
        async with ads.serving(edges, stand.ads), stand.edge():
            await edges.put(World(1, (App(key, "hello.localhost", (Endpoint("i", "127.0.0.1", 4001),)),)))
            with pytest.raises(Unavailable, match=r"cannot listen: .*in use"):
                await edges.until_serving(key, 1, 3)


async def test_a_cluster_that_changes_shape_goes_on_serving(stand: Stand) -> None:
    """As after an upgrade: the same apps, told in other words, to an edge that kept running."""
    key, clock = Key("svc_hello", "env_a"), SystemClock()
    async with apps.running("hello") as app, AsyncExitStack() as edge:
        world = World(1, (App(key, "hello.localhost", (Endpoint("i", "127.0.0.1", app.port),)),))
        shape = Shape(Spot("127.0.0.1", stand.edge_port), Spot("127.0.0.1", app.port))
        first = ads.Edges(Translator(shape), clock)
        async with ads.serving(first, stand.ads):
            await first.put(world)
            await edge.enter_async_context(stand.edge())
            await first.until_serving(key, 1, 10)
        load = apps.Load(stand.edge_port, "hello.localhost")
        async with load.by(2):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("services.router.adapters.xds.clusters.MOST_RETRIES", 7)
                second = ads.Edges(Translator(shape), clock)
                await second.put(world)
                async with ads.serving(second, stand.ads):
                    await second.until_serving(key, 1, 10)
                    assert (await stand.get("hello.localhost")).status == 200
        assert load.failures == []

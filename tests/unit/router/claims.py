"""What the router promises on every store: the unit tests prove it in memory, the integration tests on PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import pytest

from libs.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from services.router.domain.facts import EndpointsPublished, NameClaimed
from services.router.domain.world import Endpoint, Key, Spot
from tests.unit.router.world import CTX, Router

HELLO = Key("svc_hello", "env_a")
OTHER = Key("svc_other", "env_a")


class Claims:
    """Collected where a `router` fixture says which store."""

    async def test_a_service_gets_the_same_name_every_time_even_when_it_is_renamed(self, router: Router) -> None:
        assert await router.claim(HELLO) == "hello-production.localhost"
        assert await router.claim(HELLO, service="renamed") == "hello-production.localhost"
        names = await router.queries.list_names(CTX, [HELLO.service_id], "")
        assert [router.queries.url(name) for name in names] == ["http://hello-production.localhost:8080"]

    async def test_two_services_of_one_name_get_two_hosts(self, router: Router) -> None:
        first, second = await router.claim(HELLO), await router.claim(OTHER)
        assert first != second
        assert second.startswith("hello-production-")
        assert await router.claim(OTHER) == second

    async def test_names_that_run_together_the_same_way_stay_apart(self, router: Router) -> None:
        first = await router.claim(HELLO, service="a-b", environment="c")
        second = await router.claim(OTHER, service="a", environment="b-c")
        assert first == "a-b-c.localhost"
        assert second != first

    async def test_a_claimed_name_is_told_once(self, router: Router) -> None:
        await router.claim(HELLO)
        await router.claim(HELLO)
        assert await router.stores.told() == [NameClaimed(*HELLO, "wsp_a", "hello-production.localhost")]

    async def test_names_are_listed_by_service_and_environment(self, router: Router) -> None:
        staging = Key(HELLO.service_id, "env_b")
        await router.claim(HELLO)
        await router.claim(staging, environment="staging")
        await router.claim(OTHER, service="other")
        found = await router.queries.list_names(CTX, [HELLO.service_id], "")
        assert [name.host for name in found] == ["hello-production.localhost", "hello-staging.localhost"]
        assert [n.host for n in await router.queries.list_names(CTX, [], "env_b")] == ["hello-staging.localhost"]
        assert len(await router.queries.list_names(CTX, [], "")) == 3

    async def test_published_endpoints_reach_the_edge_and_are_told_with_their_deployment(self, router: Router) -> None:
        await router.claim(HELLO)
        version = await router.publish(HELLO, 4001, 4002, deployment="dep_1")
        world = router.edges.world
        assert world is not None
        (app,) = world.apps
        assert (app.host, [one.port for one in app.endpoints or ()]) == ("hello-production.localhost", [4001, 4002])
        assert (await router.stores.told())[-1] == EndpointsPublished(*HELLO, "wsp_a", version, 2, "dep_1")

    async def test_publishing_the_same_again_changes_nothing_and_tells_nothing(self, router: Router) -> None:
        first = await router.publish(HELLO, 4001)
        told, revision = await router.stores.told(), await router.stores.worlds.revision()
        assert await router.publish(HELLO, 4001) == first
        assert (await router.stores.told(), await router.stores.worlds.revision()) == (told, revision)

    async def test_an_earlier_generation_never_overwrites_a_later_one(self, router: Router) -> None:
        await router.publish(HELLO, 4002, generation=2)
        with pytest.raises(Conflict, match="too late"):
            await router.publish(HELLO, 4001, generation=1)
        assert await router.spots(HELLO) == {4002: True}

    async def test_a_replaced_endpoint_drains_until_it_is_idle(self, router: Router) -> None:
        await router.publish(HELLO, 4001)
        await router.publish(HELLO, 4002, generation=2)
        assert await router.spots(HELLO) == {4001: False, 4002: True}
        router.gauges.active = {Spot("127.0.0.1", 4001): 3, Spot("127.0.0.1", 4002): 5}
        assert (await router.queries.activity(HELLO)).departed == 3
        router.clock.advance(60)
        await router.retiring.step("/".join(HELLO))
        assert await router.spots(HELLO) == {4001: False, 4002: True}, "it still holds three requests"
        router.gauges.active = {}
        await router.retiring.step("/".join(HELLO))
        assert await router.spots(HELLO) == {4002: True}

    async def test_an_endpoint_that_just_left_is_not_idle_before_every_worker_has_heard(self, router: Router) -> None:
        await router.publish(HELLO, 4001)
        router.edges.connected = False
        with pytest.raises(Unavailable):
            await router.publish(HELLO, 4002, generation=2)
        router.clock.advance(60)
        assert (await router.queries.activity(HELLO)).departed == 1, "no edge has confirmed that it left"
        router.edges.connected = True
        await router.publish(HELLO, 4002, generation=2)
        assert (await router.queries.activity(HELLO)).departed == 1
        router.clock.advance(0.3)
        assert (await router.queries.activity(HELLO)).departed == 0

    async def test_an_endpoint_that_comes_back_while_it_drains_is_whole_again(self, router: Router) -> None:
        await router.publish(HELLO, 4001)
        await router.publish(HELLO, 4002, generation=2)
        await router.publish(HELLO, 4001, generation=3)
        assert await router.spots(HELLO) == {4001: True, 4002: False}

    async def test_what_came_back_is_not_dropped_by_a_look_from_before(self, router: Router) -> None:
        await router.publish(HELLO, 4001)
        await router.publish(HELLO, 4002, generation=2)
        seen = (await router.stores.publications.draining())[HELLO]
        await router.publish(HELLO, 4001, generation=3)
        await router.stores.publications.drop(HELLO, seen)
        assert await router.spots(HELLO) == {4001: True, 4002: False}

    async def test_a_draining_endpoint_leaves_after_an_hour_when_the_edge_tells_nothing(self, router: Router) -> None:
        await router.publish(HELLO, 4001)
        await router.publish(HELLO, generation=2)
        router.gauges.away = True
        router.clock.advance(timedelta(minutes=59).total_seconds())
        await router.retiring.step("/".join(HELLO))
        assert await router.spots(HELLO) == {4001: False}
        router.clock.advance(61)
        await router.retiring.step("/".join(HELLO))
        assert await router.spots(HELLO) == {}

    async def test_without_an_edge_the_caller_is_told_and_the_intent_stays(self, router: Router) -> None:
        router.edges.connected = False
        with pytest.raises(Unavailable, match="No edge"):
            await router.publish(HELLO, 4001)
        assert await router.spots(HELLO) == {4001: True}
        assert await router.stores.told() == []
        router.edges.connected = True
        version = await router.publish(HELLO, 4001)
        assert await router.stores.told() == [EndpointsPublished(*HELLO, "", version, 1, "")]

    async def test_endpoints_whose_publisher_left_are_told_by_the_loop(self, router: Router) -> None:
        router.edges.connected = False
        with pytest.raises(Unavailable):
            await router.publish(HELLO, 4001)
        assert await router.announcing.due() == ["svc_hello/env_a"]
        await router.announcing.step("svc_hello/env_a")
        assert await router.stores.told() == []
        router.edges.connected = True
        await router.tell()
        await router.announcing.step("svc_hello/env_a")
        assert len(await router.stores.told()) == 1
        assert await router.announcing.due() == []

    async def test_a_refusal_of_the_edge_reaches_the_caller(self, router: Router) -> None:
        router.edges.refusal = "no such thing"
        with pytest.raises(Conflict, match="no such thing"):
            await router.publish(HELLO, 4001)

    async def test_a_deleted_service_leaves_nothing_and_stays_gone(self, router: Router) -> None:
        await router.claim(HELLO)
        await router.publish(HELLO, 4001)
        await router.publish(OTHER, 4009)
        await router.reactions.service_deleted(HELLO.service_id)
        await router.tell()
        assert router.edges.world is not None
        assert [app.key for app in router.edges.world.apps] == [OTHER]
        with pytest.raises(NotFound, match="deleted"):
            await router.claim(HELLO)
        with pytest.raises(NotFound, match="deleted"):
            await router.publish(HELLO, 4001, generation=9)
        assert await router.publish(HELLO, generation=9) >= 0, "taking nothing from nothing succeeds"

    async def test_the_name_of_a_deleted_service_is_free_for_another(self, router: Router) -> None:
        host = await router.claim(HELLO)
        await router.reactions.service_deleted(HELLO.service_id)
        assert await router.claim(OTHER) == host

    async def test_a_world_told_before_is_only_told_again_when_it_has_changed(self, router: Router) -> None:
        await router.publish(HELLO, 4001)
        told = router.edges.world
        await router.tell()
        assert router.edges.world is told
        await router.publish(HELLO, 4002, generation=2)
        assert router.edges.world is not told
        assert router.file.world == router.edges.world

    @pytest.mark.parametrize(
        ("endpoint", "says"),
        [
            (Endpoint("i", "example.org", 80), "no IP address"),
            (Endpoint("i", "127.0.0.1", 0), "no port"),
            (Endpoint("i", "127.0.0.1", 70_000), "no port"),
            (Endpoint("i", "", 80), "no IP address"),
        ],
    )
    async def test_an_endpoint_that_is_none_is_refused(self, router: Router, endpoint: Endpoint, says: str) -> None:
        with pytest.raises(Invalid, match=says):
            await router.commands.publish_endpoints(CTX, HELLO, [endpoint], 1)
        assert await router.spots(HELLO) == {}

    async def test_one_place_cannot_be_published_twice(self, router: Router) -> None:
        with pytest.raises(Invalid, match="twice"):
            await router.publish(HELLO, 4001, 4001)

    @pytest.mark.parametrize("text", ["", "a/b", "a.b", "a b", "x" * 65, "é"])
    async def test_an_id_that_is_none_is_refused(self, router: Router, text: str) -> None:
        with pytest.raises(Invalid, match="no id"):
            await router.claim(Key(text, "env_a"))
        with pytest.raises(Invalid, match="no id"):
            await router.publish(Key("svc_a", text), 4001)

"""The same promises on PostgreSQL, and those that only a database can break."""

from __future__ import annotations

import asyncio

import pytest
import pytest_asyncio

from libs.db import Database
from libs.facts import Outbox
from libs.kernel.errors import Failure
from libs.protogen.lightrail.router.v1 import events_pb2
from libs.testing.clock import VirtualClock
from libs.testing.plugin import OpenDatabase
from services.router.domain.facts import EndpointsPublished, NameClaimed, RouterFact
from services.router.domain.world import App, Endpoint, Key, World
from services.router.events.codec import ENDPOINTS_PUBLISHED, NAME_CLAIMED, RecordedFacts
from services.router.store.postgres import MIGRATIONS, PostgresNames, PostgresPublications, PostgresWorlds
from tests.unit.router.claims import Claims
from tests.unit.router.world import Router, Stores

pytestmark = pytest.mark.wheels


def stores_in_postgres(db: Database, clock: VirtualClock) -> Stores:
    async def told() -> list[RouterFact]:
        rows = await db.fetch("select subject, workspace_id, correlation_id, payload from outbox order by position")
        facts: list[RouterFact] = []
        for row in rows:
            if row["subject"] == NAME_CLAIMED:
                claimed = events_pb2.NameClaimed.FromString(row["payload"])
                facts.append(NameClaimed(claimed.service_id, claimed.environment_id, row["workspace_id"], claimed.host))
            else:
                assert row["subject"] == ENDPOINTS_PUBLISHED
                published = events_pb2.EndpointsPublished.FromString(row["payload"])
                key = (published.service_id, published.environment_id)
                facts.append(
                    EndpointsPublished(
                        *key, row["workspace_id"], published.version, published.count, row["correlation_id"]
                    )
                )
        return facts

    return Stores(
        work=db.tx,
        names=PostgresNames(db, clock),
        publications=PostgresPublications(db),
        worlds=PostgresWorlds(db, clock),
        facts=RecordedFacts(Outbox(db, "router", clock)),
        told=told,
    )


@pytest_asyncio.fixture
async def db(open_db: OpenDatabase) -> Database:
    return await open_db("router", MIGRATIONS)


@pytest_asyncio.fixture
async def router(db: Database) -> Router:
    clock = VirtualClock()
    return Router(stores_in_postgres(db, clock), clock)


class TestInPostgres(Claims):
    """On PostgreSQL."""


async def test_many_services_of_one_name_at_once_all_get_their_own(router: Router) -> None:
    keys = [Key(f"svc_{number}", "env_a") for number in range(12)]
    hosts = await asyncio.gather(*(router.claim(key) for key in keys))
    assert len(set(hosts)) == len(keys)
    assert await asyncio.gather(*(router.claim(key) for key in keys)) == hosts


async def test_one_service_asking_many_times_at_once_gets_one_name(router: Router) -> None:
    hosts = await asyncio.gather(*(router.claim(Key("svc_a", "env_a")) for _ in range(12)))
    assert len(set(hosts)) == 1
    assert len(await router.stores.told()) == 1


async def test_generations_published_at_once_end_with_the_latest(router: Router) -> None:
    key = Key("svc_a", "env_a")
    attempts = (router.publish(key, 4000 + generation, generation=generation) for generation in range(1, 13))
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert all(isinstance(result, int | Failure) for result in results)
    active = [port for port, active in (await router.spots(key)).items() if active]
    assert active == [4012]


async def test_versions_grow_in_the_order_of_commits(router: Router) -> None:
    keys = [Key(f"svc_{number}", "env_a") for number in range(10)]
    versions = await asyncio.gather(*(router.publish(key, 4001) for key in keys))
    assert sorted(versions) == list(range(1, 11))
    assert await router.stores.worlds.revision() == 10


async def test_a_service_deleted_while_it_is_published_leaves_nothing(router: Router) -> None:
    for number in range(10):
        key = Key(f"svc_{number}", "env_a")
        await asyncio.gather(
            router.claim(key),
            router.publish(key, 4001),
            router.reactions.service_deleted(key.service_id),
            return_exceptions=True,
        )
        world = await router.stores.worlds.load(None)
        assert [app for app in world.apps if app.key == key] == []


async def test_the_world_is_loaded_as_it_was_written(router: Router) -> None:
    named, published, both = Key("svc_a", "env_a"), Key("svc_b", "env_a"), Key("svc_c", "env_b")
    await router.claim(named, service="a")
    await router.publish(published, 4001)
    await router.claim(both, service="c")
    await router.publish(both, 4003, 4002)
    await router.publish(both, generation=2)
    moment = router.clock.now()
    assert await router.stores.worlds.load(None) == World(
        5,
        (
            App(named, "a-production.localhost"),
            App(published, "", (Endpoint("ins_4001", "127.0.0.1", 4001),)),
            App(
                both,
                "c-production.localhost",
                (Endpoint("ins_4002", "127.0.0.1", 4002, moment), Endpoint("ins_4003", "127.0.0.1", 4003, moment)),
            ),
        ),
    )


async def test_reading_only_what_changed_gives_the_same_world(router: Router) -> None:
    worlds, seen = router.stores.worlds, [await router.stores.worlds.load(None)]

    async def look() -> None:
        seen.append(await worlds.load(seen[-1]))
        assert seen[-1] == await worlds.load(None)

    a, b, other = Key("svc_a", "env_a"), Key("svc_a", "env_b"), Key("svc_b", "env_a")
    for key in (a, b, other):
        await router.claim(key, service=key.environment_id)
        await look()
        await router.publish(key, 4001)
        await look()
    await router.publish(a, 4002, generation=2)
    await look()
    router.clock.advance(60)
    await router.retiring.step("/".join(a))
    await look()
    assert [app.endpoints for app in seen[-1].apps if app.key == a] == [(Endpoint("ins_4002", "127.0.0.1", 4002),)]
    await router.reactions.service_deleted("svc_a")
    await look()
    assert [app.key for app in seen[-1].apps] == [other]
    assert await worlds.load(seen[0]) == seen[-1], "however long one was away"


async def test_a_database_put_back_from_a_copy_is_believed(router: Router, db: Database) -> None:
    a, b = Key("svc_a", "env_a"), Key("svc_b", "env_a")
    await router.publish(a, 4001)
    await router.publish(b, 4001)
    assert router.edges.world is not None
    assert len(router.edges.world.apps) == 2
    await db.execute("delete from publications where service_id = 'svc_b'")
    await db.execute("update edge_revision set revision = 1")
    await router.tell()
    assert [app.key for app in router.edges.world.apps] == [a]


async def test_dropping_and_publishing_at_once_never_wait_for_each_other(router: Router) -> None:
    key = Key("svc_a", "env_a")
    await router.publish(key, 4000, 4001, generation=1)
    for generation in range(2, 40):
        await router.publish(key, 4000 + generation % 2, generation=generation)
        draining = (await router.stores.publications.draining()).get(key, ())
        await asyncio.gather(
            router.stores.publications.drop(key, draining),
            router.publish(key, 4000 + (generation + 1) % 2, generation=generation),
        )

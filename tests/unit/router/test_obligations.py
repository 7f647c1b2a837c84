"""Every loop and reaction may be repeated, and may fail at any step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.facts import Fact
from libs.kernel.errors import Failure
from libs.protogen.lightrail.project.v1.events_pb2 import ServiceDeleted
from libs.testing.faults import Faulty, Plan, repeats_harmlessly, survives_failure_at_every_step
from services.router.domain.world import Key
from services.router.events.subscriptions import project
from services.router.loops.edge import WORLD
from services.router.store.memory import Memory
from tests.unit.router.conftest import stores_in_memory
from tests.unit.router.world import FixedGauges, KeptWorld, ObedientEdges, Router, Stores

A, B = Key("svc_a", "env_a"), Key("svc_b", "env_a")
Act = Callable[[], Awaitable[object]]
Made = tuple[Act, Act]
Build = Callable[[Plan], Awaitable[Made]]


async def a_router(plan: Plan) -> tuple[Router, Memory]:
    """Two apps, one of them switched to its second generation and not yet told anywhere; then faults begin."""
    memory = Memory()
    before = Router(stores_in_memory(memory))
    await before.claim(A)
    await before.claim(B, service="other")
    await before.publish(A, 4001)
    before.edges.connected = False
    for port, generation in ((4002, 2), (4003, 3)):
        with pytest.raises(Failure):
            await before.publish(A, port, generation=generation)
    plain = stores_in_memory(memory)
    faulty: dict[str, Any] = {
        name: Faulty(getattr(plain, name), plan) for name in ("names", "publications", "worlds", "facts")
    }
    edges = ObedientEdges()
    doors = {"edges": edges, "gauges": FixedGauges(), "file": KeptWorld()}
    outside: dict[str, Any] = {name: Faulty(door, plan) for name, door in doors.items()}
    router = Router(Stores(work=plain.work, told=plain.told, **faulty), **outside)
    edges.tell = router.tell
    router.clock.advance(60)
    return router, memory


def state_of(memory: Memory, router: Router) -> Act:
    async def state() -> object:
        world = router.edges.world
        return (
            memory.names,
            {key: found.endpoints for key, found in memory.publications.items()},
            memory.announced,
            memory.forgotten,
            memory.facts,
            None if world is None else world.apps,
        )

    return state


async def telling(plan: Plan) -> Made:
    router, _ = await a_router(plan)

    async def act() -> None:
        for key in await router.telling.due():
            await router.telling.step(key)

    async def state() -> object:
        return router.edges.world, router.file.world

    return act, state


async def retiring(plan: Plan) -> Made:
    router, memory = await a_router(plan)

    async def act() -> None:
        for key in await router.retiring.due():
            await router.retiring.step(key)

    return act, state_of(memory, router)


async def announcing(plan: Plan) -> Made:
    router, memory = await a_router(plan)

    async def act() -> None:
        await router.telling.step(WORLD)
        for key in await router.announcing.due():
            await router.announcing.step(key)

    return act, state_of(memory, router)


async def publishing(plan: Plan) -> Made:
    router, memory = await a_router(plan)

    async def act() -> None:
        await router.claim(B, service="other")
        await router.publish(B, 5001, generation=1)
        await router.publish(A, 4003, generation=3)

    async def state() -> object:
        # Which revision a change got depends on how often it was tried.
        return (
            memory.names,
            {key: [(one.spot, one.active) for one in found.endpoints] for key, found in memory.publications.items()},
            [(type(fact).__name__, fact.service_id) for fact in memory.facts],
        )

    return act, state


async def forgetting(plan: Plan) -> Made:
    router, memory = await a_router(plan)
    handler = project(router.reactions)["lightrail.project.service.deleted.v1"]
    fact = Fact(
        id="fct_1",
        source="project",
        sequence=1,
        subject="lightrail.project.service.deleted.v1",
        workspace_id="wsp_a",
        correlation_id="",
        recorded_at=datetime(2026, 1, 1, tzinfo=UTC),
        payload=ServiceDeleted(service_id=A.service_id, workspace_id="wsp_a").SerializeToString(),
    )

    async def act() -> None:
        await handler(fact)
        await router.telling.step(WORLD)

    return act, state_of(memory, router)


EVERYTHING = pytest.mark.parametrize(
    "build",
    [
        pytest.param(telling, id="TellEdges"),
        pytest.param(retiring, id="RetireEndpoints"),
        pytest.param(announcing, id="AnnounceEndpoints"),
        pytest.param(publishing, id="publish_endpoints"),
        pytest.param(forgetting, id="service_deleted"),
    ],
)


@EVERYTHING
async def test_repeating_is_harmless(build: Build) -> None:
    await repeats_harmlessly(build)


@EVERYTHING
async def test_failing_at_any_step_is_survived(build: Build) -> None:
    assert await survives_failure_at_every_step(build) > 1

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from libs.db import Database
from libs.git import pkt
from libs.kernel.clock import Clock
from libs.kernel.context import Ctx, platform
from libs.kernel.errors import Exhausted
from libs.kernel.ids import new_id
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from libs.testing.faults import Faulty, Plan, repeats_harmlessly, survives_failure_at_every_step
from services.build.app.pushes import Place, Pushes, Standing
from services.build.app.reactions import Wanted
from services.build.domain.model import Build, BuildState
from services.build.domain.push import Push, PushState, verdict
from services.build.domain.source import GitWish
from services.build.loops.pushes import PushLoop
from services.build.store.pushes import PostgresPushes
from tests.integration.build.world import World

CTX = platform("test")
MAIN = "refs/heads/main"
A, B = "a" * 40, "b" * 40


@dataclass
class ToldIncoming:
    """A push without a pack."""

    commands: pkt.Commands

    async def unpack(self, push_id: str, wishes: Sequence[pkt.Command]) -> dict[str, str]:
        return {}


@dataclass
class ToldBare:
    """Repositories that know their refs."""

    refs: dict[str, str] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)

    async def advertise(self, place: Place, *, push: bool, protocol: str) -> bytes:
        return b"".join(f"{commit} {ref}\n".encode() for ref, commit in self.refs.items())

    @asynccontextmanager
    async def receive(
        self, place: Place, chunks: AsyncIterator[bytes], kept: Collection[str]
    ) -> AsyncIterator[ToldIncoming]:
        yield ToldIncoming(pkt.commands(b"".join([chunk async for chunk in chunks])))

    async def upload(self, place: Place, content: bytes, protocol: str) -> AsyncGenerator[bytes, None]:
        yield content

    async def move(self, place: Place, wishes: Sequence[pkt.Command], *, deployed: bool) -> frozenset[str]:
        lost = frozenset(wish.ref for wish in wishes if self.refs.get(wish.ref, pkt.ZERO) not in (wish.old, wish.new))
        for wish in wishes:
            if wish.ref not in lost and wish.new == pkt.ZERO:
                self.refs.pop(wish.ref, None)
            elif wish.ref not in lost:
                self.refs[wish.ref] = wish.new
        return lost

    async def at(self, place: Place, ref: str) -> str:
        return self.refs.get(ref, pkt.ZERO)

    async def forget(self, place: Place, push_id: str) -> None:
        self.forgotten.add(push_id)


class Deploys:
    """Deploy, as far as pushes ask it: a deployment goes where its build goes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.refuses: Exception | None = None
        self.made: dict[str, str] = {}

    async def deploy(self, ctx: Ctx, push: Push) -> str:
        if self.refuses:
            raise self.refuses
        if push.id not in self.made:
            made = self.made[push.id] = new_id("deployment", self.world.clock)
            wish = GitWish(ref="main", push_id=push.id)
            wanted = Wanted(made, "wsp_1", "prj_1", push.service_id, push.environment_id, "", wish)
            await self.world.reactions.deployment_requested(wanted)
        return self.made[push.id]

    async def standing(self, deployment_id: str) -> Standing:
        build = await self.world.builds.of_deployment(deployment_id, None)
        if build is None:
            return Standing("unknown", "", "")
        states = {BuildState.SUCCEEDED: "active", BuildState.FAILED: "failed", BuildState.CANCELLED: "removed"}
        return Standing(states.get(build.state, "building"), build.reason, "http://app.test")


class Party:
    """Everything around pushes, on a real database."""

    def __init__(self, db: Database, clock: Clock, faults: Plan | None = None) -> None:
        def faulty(target: Any) -> Any:
            return Faulty(target, faults) if faults else target

        self.world = World(db, clock)
        self.bare, self.deploys = ToldBare(), Deploys(self.world)
        self.ledger: Any = faulty(PostgresPushes(db))
        self.pushes = Pushes(
            self, faulty(self.bare), self.ledger, faulty(self.deploys), self.world.builds, self.world.log, clock
        )
        self.loop = PushLoop(self.pushes, self.ledger)

    async def place(self, ctx: Ctx, service_id: str, environment_id: str) -> Place:
        return Place("wsp_1", service_id, environment_id, "main")

    async def push(self, *wishes: pkt.Command) -> str:
        """Pushes as git does; gives all that was said."""
        lines = [pkt.line(f"{wish.old} {wish.new} {wish.ref}\0 side-band-64k") for wish in wishes]

        async def chunks() -> AsyncIterator[bytes]:
            yield b"".join(lines) + pkt.FLUSH

        said = b"".join([one async for one in self.pushes.receive(CTX, "svc_1", "env_1", chunks())])
        return "".join((line or b"")[1:].decode() for line, _ in pkt.lines(said))


@pytest.fixture
def party(db: Database) -> Party:
    return Party(db, SystemClock())


async def driven(party: Party, *wishes: pkt.Command) -> str:
    """A push whose build is driven beside it."""
    async with asyncio.TaskGroup() as group:
        push = group.create_task(party.push(*wishes))

        async def built() -> None:
            await party.world.drive()
            assert push.done()

        await eventually(built, within=30)
    return push.result()


async def test_the_branch_moves_when_the_build_has_succeeded_and_the_story_is_told(party: Party) -> None:
    said = await driven(party, pkt.Command(pkt.ZERO, A, MAIN))
    assert party.bare.refs == {MAIN: A}
    assert "start command: python main.py" in said
    assert "Live: http://app.test" in said
    assert f"ok {MAIN}" in said


async def test_a_failed_build_leaves_the_branch_and_the_push_fails(party: Party) -> None:
    party.world.builder.files = {"main.zig": ""}
    said = await driven(party, pkt.Command(pkt.ZERO, A, MAIN))
    assert party.bare.refs == {}
    assert "No known language" in said
    assert f"ng {MAIN} the build failed" in said
    assert await party.ledger.pending() == []


async def test_other_branches_and_tags_are_stored_or_deleted_and_nothing_else_is(party: Party) -> None:
    party.bare.refs = {"refs/heads/gone": A, MAIN: A}
    said = await party.push(
        pkt.Command(pkt.ZERO, A, "refs/heads/side"),
        pkt.Command(pkt.ZERO, A, "refs/tags/v1"),
        pkt.Command(A, pkt.ZERO, "refs/heads/gone"),
        pkt.Command(A, pkt.ZERO, MAIN),
        pkt.Command(pkt.ZERO, A, "refs/notes/x"),
        pkt.Command(pkt.ZERO, A, "refs/heads/a..b"),
    )
    assert party.bare.refs == {"refs/heads/side": A, "refs/tags/v1": A, MAIN: A}
    assert f"ng {MAIN} the branch that is deployed stays" in said
    assert "side is not deployed: main is." in said
    assert said.count("ng ") == 3
    assert party.deploys.made == {}


async def test_two_pushes_at_once_are_one_push_and_a_sentence(party: Party) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(party.push(pkt.Command(pkt.ZERO, A, MAIN)))

        async def begun() -> None:
            assert await party.ledger.pending()

        await eventually(begun)
        second = await party.push(pkt.Command(pkt.ZERO, B, MAIN))
        assert "Another push to this service, main at aaaaaaa, is being built" in second
        assert f"ng {MAIN}" in second

        async def built() -> None:
            await party.world.drive()
            assert first.done()

        await eventually(built, within=30)
    assert party.bare.refs == {MAIN: A}


async def test_a_pusher_who_leaves_changes_nothing(party: Party) -> None:
    async with asyncio.TaskGroup() as group:
        push = group.create_task(party.push(pkt.Command(pkt.ZERO, A, MAIN)))

        async def begun() -> None:
            assert [one.deployment_id for one in await party.ledger.pending()] not in ([], [""])

        await eventually(begun)
        push.cancel()
    (pending,) = await party.ledger.pending()
    await party.loop.step(pending.id)
    assert party.bare.refs == {}
    await party.world.drive()
    await party.loop.step(pending.id)
    assert party.bare.refs == {MAIN: A}
    assert pending.id in party.bare.forgotten
    assert await party.loop.due() == []


async def pending(party: Party) -> Push:
    """A push whose process died right after it was stored."""
    now = SystemClock().now()
    made = Push(new_id("push", SystemClock()), "wsp_1", "svc_1", "env_1", MAIN, pkt.ZERO, A, PushState.PENDING, now)
    assert await party.ledger.add(made)
    return made


async def test_a_push_that_was_cut_off_before_it_was_deployed_gives_way_at_once(party: Party) -> None:
    dead = await pending(party)
    assert await party.loop.due() == [dead.id]
    await party.loop.step(dead.id)
    said = await driven(party, pkt.Command(pkt.ZERO, B, MAIN))
    assert f"ok {MAIN}" in said
    assert party.bare.refs == {MAIN: B}
    assert dead.id in party.bare.forgotten
    found = await party.ledger.get(dead.id)
    assert found is not None
    assert found.state is PushState.REFUSED


async def test_a_push_that_was_cut_off_before_its_deployment_was_noted_goes_on(party: Party) -> None:
    dead = await pending(party)
    asked = await party.deploys.deploy(CTX, dead)
    said = await party.push(pkt.Command(pkt.ZERO, B, MAIN))
    assert f"is being built as {asked}: lr logs --build {asked}" in said
    assert party.bare.refs == {}
    await party.world.drive()
    await party.loop.step(dead.id)
    assert party.bare.refs == {MAIN: A}


async def test_a_push_whose_build_has_ended_is_in_nobodys_way(party: Party) -> None:
    dead = await pending(party)
    await party.ledger.deployed(dead.id, await party.deploys.deploy(CTX, dead))
    await party.world.drive()
    said = await driven(party, pkt.Command(A, B, MAIN))
    assert f"ok {MAIN}" in said
    assert party.bare.refs == {MAIN: B}


async def test_a_push_that_has_not_seen_the_one_before_is_not_built(party: Party) -> None:
    await driven(party, pkt.Command(pkt.ZERO, A, MAIN))
    said = await party.push(pkt.Command(pkt.ZERO, B, MAIN))
    assert f"ng {MAIN} it moved meanwhile" in said
    assert party.bare.refs == {MAIN: A}
    assert len(party.deploys.made) == 1
    assert await party.ledger.pending() == []


async def test_many_branches_are_told_of_in_one_sentence(party: Party) -> None:
    said = await party.push(*(pkt.Command(pkt.ZERO, A, f"refs/heads/b{number}") for number in range(9)))
    assert "Stored. b0, b1, b2, b3, b4 and 4 more are not deployed: main is." in said


async def test_what_deploy_refuses_is_told_to_the_pusher(party: Party) -> None:
    party.deploys.refuses = Exhausted("You have no more room.")
    said = await party.push(pkt.Command(pkt.ZERO, A, MAIN))
    assert "You have no more room." in said
    assert f"ng {MAIN} not deployed" in said
    assert await party.ledger.pending() == []


def built(state: BuildState, *, attempt: int = 1) -> Build:
    now = SystemClock().now()
    return Build("bld_1", "wsp_1", "prj_1", "svc_1", "env_1", "dep_1", "", state, now, attempt=attempt)


def test_a_push_is_open_until_its_build_and_its_deployment_say_the_same() -> None:
    assert verdict(None, "queued") is PushState.PENDING
    assert verdict(built(BuildState.RUNNING), "building") is PushState.PENDING
    assert verdict(built(BuildState.FAILED), "building") is PushState.PENDING
    assert verdict(built(BuildState.RUNNING), "removed") is PushState.PENDING
    assert verdict(built(BuildState.FAILED), "failed") is PushState.REFUSED
    assert verdict(built(BuildState.CANCELLED), "removed") is PushState.REFUSED
    assert verdict(built(BuildState.SUCCEEDED), "crashed") is PushState.ACCEPTED
    assert verdict(None, "removed") is PushState.REFUSED


def test_a_push_that_found_nothing_to_build_is_taken_and_one_whose_place_was_taken_is_not() -> None:
    assert verdict(built(BuildState.CANCELLED), "skipped") is PushState.ACCEPTED
    assert verdict(built(BuildState.CANCELLED, attempt=0), "skipped") is PushState.REFUSED
    assert verdict(None, "skipped") is PushState.REFUSED


Parts = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]


def scenario(db: Database) -> Callable[[Plan], Awaitable[Parts]]:
    """PushLoop finds a push whose build has succeeded and whose pusher is gone."""

    async def build(faults: Plan) -> Parts:
        await db.execute("delete from pushes")
        party = Party(db, SystemClock(), faults)
        fail_at, faults.fail_at = faults.fail_at, -1
        now = SystemClock().now()
        push = Push(new_id("push", SystemClock()), "wsp_1", "svc_1", "env_1", MAIN, pkt.ZERO, A, PushState.PENDING, now)
        await party.ledger.add(push)
        await party.ledger.deployed(push.id, await party.deploys.deploy(CTX, push))
        await party.world.drive()
        faults.calls, faults.fail_at = 0, fail_at
        faults.names.clear()

        async def act() -> None:
            for key in await party.loop.due():
                await party.loop.step(key)

        async def state() -> object:
            found = await party.ledger.get(push.id)
            return party.bare.refs, found and found.state, len(party.bare.forgotten)

        return act, state

    return build


async def test_settling_repeats_harmlessly(db: Database) -> None:
    await repeats_harmlessly(scenario(db))


async def test_settling_survives_failure_at_every_step(db: Database) -> None:
    assert await survives_failure_at_every_step(scenario(db)) > 3

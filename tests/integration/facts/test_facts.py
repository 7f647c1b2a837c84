"""Facts on real PostgreSQL and NATS: told once, in order, whatever is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from libs.bus import NatsBus
from libs.db import Database
from libs.facts import Fact, Follower, NewFact, Outbox, Relay
from libs.facts.fact import from_message, to_message
from libs.kernel.clock import Clock
from libs.kernel.errors import Invalid, Unavailable
from libs.kernel.ids import new_id
from libs.telemetry import span
from libs.telemetry.traces import start_tracing
from libs.testing.eventually import eventually


class World:
    """A source with its outbox, and a follower that writes down what it saw."""

    def __init__(self, db: Database, bus: NatsBus, clock: Clock, name: str) -> None:
        self.db, self.bus = db, bus
        self.name = name
        self.outbox = Outbox(db, name, clock)
        self.relay = Relay(db, self.outbox, bus, clock)
        self.seen: list[str] = []
        self.fail: Callable[[Fact], None] = lambda _fact: None
        # The source answers while this is set.
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0
        # The span that each reaction ran in.
        self.spans: list[trace.Span] = []

        async def react(fact: Fact) -> None:
            self.fail(fact)
            self.spans.append(trace.get_current_span())
            self.seen.append(fact.payload.decode())

        self.follower = Follower(
            db,
            bus,
            clock,
            service=f"{name}f",
            source=name,
            reactions={f"lightrail.{name}.thing.done.v1": react},
            read=self.read,
        )

    async def read(self, after: int) -> Sequence[Fact]:
        self.asked += 1
        await self.answers.wait()
        return await self.outbox.read(after)

    async def tell(self, *texts: str, subject: str = "thing.done") -> None:
        for text in texts:
            async with self.db.tx():
                fact = NewFact(f"lightrail.{self.name}.{subject}.v1", "wsp_x", "dep_x", text.encode())
                await self.outbox.record(fact)


@pytest.fixture
async def world(open_db: Callable[..., object], bus: NatsBus, system_clock: Clock, tmp_path: Path) -> World:
    db = await open_db("source", tmp_path)  # type: ignore[misc]
    return World(db, bus, system_clock, new_id("fact", system_clock))


async def test_fact_of_a_rolled_back_change_is_never_told(world: World) -> None:
    with suppress(ZeroDivisionError):
        async with world.db.tx():
            await world.outbox.record(NewFact("lightrail.x.y.z.v1", "", "", b""))
            raise ZeroDivisionError
    assert await world.outbox.number() == 0


async def test_fact_outside_of_a_transaction_is_refused(world: World) -> None:
    with pytest.raises(RuntimeError, match="transaction"):
        await world.outbox.record(NewFact("lightrail.x.y.z.v1", "", "", b""))


@pytest.mark.parametrize("over", ["the bus", "the feed"])
async def test_a_reaction_s_span_links_to_the_trace_that_recorded_the_fact(world: World, over: str) -> None:
    start_tracing("tests")
    with span("the change") as change:
        await world.tell("a")
    await world.outbox.number()
    fact = (await world.outbox.read(0))[0]
    if over == "the bus":
        await world.follower.take(from_message(to_message(fact)))
    else:
        await world.follower.catch_up()
    (reaction,) = world.spans
    assert isinstance(reaction, ReadableSpan)
    cause = change.get_span_context()
    assert [(link.context.trace_id, link.context.span_id) for link in reaction.links] == [
        (cause.trace_id, cause.span_id)
    ]
    assert reaction.get_span_context().trace_id != cause.trace_id


async def test_late_committer_gets_a_later_sequence_and_is_not_skipped(world: World) -> None:
    opened, proceed = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with world.db.tx():
            await world.outbox.record(NewFact(f"lightrail.{world.name}.thing.done.v1", "", "", b"slow"))
            opened.set()
            await proceed.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(slow())
        await opened.wait()
        await world.tell("fast")
        await world.relay.once()
        proceed.set()
    await world.relay.once()
    assert [(f.sequence, f.payload) for f in await world.outbox.read(0)] == [(1, b"fast"), (2, b"slow")]


async def test_facts_arrive_in_order_over_the_bus(world: World) -> None:
    await world.tell("a", "b", "c")
    await world.relay.once()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.follower.run())
        await world.tell("d")
        await world.relay.once()
        await eventually(lambda: world.seen == ["a", "b", "c", "d"])
        running.cancel()


async def test_fact_the_bus_never_brought_is_fetched_from_the_source(world: World) -> None:
    await world.tell("a", "b", "c")
    await world.outbox.number()
    await world.follower.take((await world.outbox.read(2))[0])
    assert world.seen == ["a", "b", "c"]


async def test_what_the_bus_brings_is_taken_while_the_source_does_not_answer(world: World) -> None:
    await world.tell("a", "b")
    await world.outbox.number()
    facts = await world.outbox.read(0)
    world.answers.clear()
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(world.follower.catch_up())
        await eventually(lambda: world.asked == 1)
        for fact in facts:
            await world.follower.take(fact)
        assert world.seen == ["a", "b"]
        world.answers.set()
        await looking
    assert world.seen == ["a", "b"]


async def test_duplicate_is_reacted_to_once(world: World) -> None:
    await world.tell("a")
    await world.outbox.number()
    fact = (await world.outbox.read(0))[0]
    for _ in range(3):
        await world.follower.take(fact)
    assert world.seen == ["a"]


async def test_reaction_that_finds_the_platform_away_is_tried_until_it_works_and_never_dies(world: World) -> None:
    failures = iter(range(20))

    def fail(_fact: Fact) -> None:
        if next(failures, None) is not None:
            raise Unavailable("away")

    world.fail = fail
    await world.tell("a")
    await world.outbox.number()
    for _ in range(20):
        with pytest.raises(Unavailable):
            await world.follower.catch_up()
    await world.follower.catch_up()
    assert world.seen == ["a"]
    assert await world.db.fetchval("select count(*) from dead_letters") == 0


async def test_poison_becomes_a_dead_letter_with_its_reason_and_can_be_replayed(world: World) -> None:
    def fail(fact: Fact) -> None:
        if fact.payload == b"bad":
            raise Invalid("it is poison")

    world.fail = fail
    await world.tell("bad", "good")
    await world.outbox.number()
    for _ in range(4):
        with pytest.raises(Invalid):
            await world.follower.catch_up()
    await world.follower.catch_up()
    assert world.seen == ["good"]
    letter = await world.db.fetchrow("select * from dead_letters")
    assert letter is not None
    assert "poison" in letter["reason"]
    world.fail = lambda _fact: None
    await world.follower.replay(letter["fact_id"])
    assert world.seen == ["good", "bad"]
    assert await world.db.fetchval("select count(*) from dead_letters") == 0


async def test_outages_do_not_count_towards_a_fact_s_death(world: World) -> None:
    failures = iter([Unavailable("away")] * 6 + [Invalid("once")])

    def fail(_fact: Fact) -> None:
        failure = next(failures, None)
        if failure is not None:
            raise failure

    world.fail = fail
    await world.tell("a")
    await world.outbox.number()
    for _ in range(7):
        with pytest.raises((Unavailable, Invalid)):
            await world.follower.catch_up()
    await world.follower.catch_up()
    assert world.seen == ["a"]


async def test_old_facts_go_once_the_bus_has_them_and_a_newcomer_starts_with_what_is_left(world: World) -> None:
    await world.tell("old", "kept")
    await world.relay.once()
    await world.db.execute("update outbox set recorded_at = now() - interval '31 days' where sequence = 1")
    await world.tell("not yet told")
    await world.db.execute("update outbox set recorded_at = now() - interval '31 days' where sequence is null")
    assert await world.outbox.forget_old() == 1
    await world.outbox.number()
    await world.follower.catch_up()
    assert world.seen == ["kept", "not yet told"]


async def test_relay_is_woken_by_a_commit(world: World) -> None:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(world.relay.run())
        follow = group.create_task(world.follower.run())
        await world.tell("a")
        await eventually(lambda: world.seen == ["a"])
        running.cancel()
        follow.cancel()

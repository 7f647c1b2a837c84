"""One suite for every bus: the one in memory promises what NATS keeps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio

from libs.bus import Bus, MemoryBus, Message, connect, matches
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret


@pytest_asyncio.fixture(params=["memory", "nats"])
async def any_bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    made: Bus
    if request.param == "memory":
        made = MemoryBus()
    else:
        made = await connect(request.getfixturevalue("nats_url"), name="contract")
    yield made
    await made.close()


@pytest.fixture
def noun(system_clock: Clock) -> str:
    return new_id("fact", system_clock)


async def _next(source: AsyncIterator[Any], within: float = 10) -> Any:
    async with asyncio.timeout(within):
        return await anext(source)


async def test_durable_consumer_gets_what_was_published_before_and_after_it_came(any_bus: Bus, noun: str) -> None:
    await any_bus.publish(Message(f"lightrail.{noun}.a.v1", b"1", {"k": "v"}), message_id=f"{noun}-1")
    async with any_bus.consume(f"lightrail.{noun}.>", noun) as deliveries:
        first = await _next(deliveries)
        assert (first.message.data, first.message.headers["k"], first.attempts) == (b"1", "v", 1)
        await first.ack()
        await any_bus.publish(Message(f"lightrail.{noun}.b.v1", b"2"), message_id=f"{noun}-2")
        second = await _next(deliveries)
        assert second.message.data == b"2"
        await second.ack()


async def test_same_message_id_is_stored_once(any_bus: Bus, noun: str) -> None:
    for _ in range(3):
        await any_bus.publish(Message(f"lightrail.{noun}.a.v1", b"same"), message_id=f"{noun}-1")
    await any_bus.publish(Message(f"lightrail.{noun}.a.v1", b"end"), message_id=f"{noun}-2")
    async with any_bus.consume(f"lightrail.{noun}.>", noun) as deliveries:
        assert [(await _next(deliveries)).message.data for _ in range(2)] == [b"same", b"end"]


async def test_refused_delivery_comes_again_and_counts_attempts(any_bus: Bus, noun: str) -> None:
    await any_bus.publish(Message(f"lightrail.{noun}.a.v1", b"1"), message_id=noun)
    async with any_bus.consume(f"lightrail.{noun}.>", noun) as deliveries:
        first = await _next(deliveries)
        await first.nak(0.01)
        again = await _next(deliveries)
        assert (again.message.data, again.attempts) == (b"1", 2)
        await again.ack()


async def test_next_consumer_of_a_name_goes_on_after_what_was_acknowledged(any_bus: Bus, noun: str) -> None:
    for number in range(3):
        await any_bus.publish(Message(f"lightrail.{noun}.a.v1", str(number).encode()), message_id=f"{noun}-{number}")
    async with any_bus.consume(f"lightrail.{noun}.>", noun) as deliveries:
        for _ in range(3):
            await (await _next(deliveries)).ack()
    await any_bus.publish(Message(f"lightrail.{noun}.a.v1", b"3"), message_id=f"{noun}-3")
    async with any_bus.consume(f"lightrail.{noun}.>", noun) as deliveries:
        assert (await _next(deliveries)).message.data == b"3"


async def test_listener_hears_only_from_now_on(any_bus: Bus, noun: str) -> None:
    await any_bus.publish(Message(f"lightrail.{noun}.a.v1", b"before"), message_id=f"{noun}-1")
    async with any_bus.listen(f"lightrail.{noun}.>") as messages:
        await any_bus.publish(Message(f"lightrail.{noun}.a.v1", b"after"), message_id=f"{noun}-2")
        assert (await _next(messages)).data == b"after"


@pytest.mark.parametrize(
    ("pattern", "subject", "yes"),
    [
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.b", "a.b", True),
        ("a.b", "a.c", False),
        ("*.b", "a.b", True),
    ],
)
def test_patterns_match_as_in_nats(pattern: str, subject: str, yes: bool) -> None:  # noqa: FBT001 - a table of cases
    assert matches(pattern, subject) is yes


async def test_message_after_a_long_silence_arrives_at_once(
    any_bus: Bus, noun: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("libs.bus.nats.QUIET_SECONDS", 0.3)
    async with any_bus.consume(f"lightrail.{noun}.>", noun) as deliveries, asyncio.TaskGroup() as group:
        for number in range(3):
            coming = group.create_task(_next(deliveries))
            with suppress(TimeoutError):
                async with asyncio.timeout(0.8):
                    await asyncio.shield(coming)
            await any_bus.publish(
                Message(f"lightrail.{noun}.a.v1", str(number).encode()), message_id=f"{noun}-{number}"
            )
            delivery = await coming
            assert (delivery.message.data, delivery.attempts) == (str(number).encode(), 1)
            await delivery.ack()


async def test_consumer_goes_on_after_the_stream_was_lost(nats_url: Secret[str], noun: str) -> None:
    made = await connect(nats_url, name="contract")
    subject = f"lightrail.{noun}.a.v1"
    async with made.consume(f"lightrail.{noun}.>", noun) as deliveries:
        await made.publish(Message(subject, b"1"), message_id=f"{noun}-1")
        await (await _next(deliveries)).ack()
        await made._js.delete_consumer("LIGHTRAIL", noun)

        async def publish_until_heard() -> bytes:
            await made.publish(Message(subject, b"2"), message_id=f"{noun}-2")
            data: bytes = (await _next(deliveries, 30)).message.data
            return data

        assert await publish_until_heard() in (b"1", b"2")  # a new consumer starts from the first; the inbox dedupes
    await made.close()

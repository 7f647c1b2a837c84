"""What travels on the bus, and what a bus promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Message:
    """A subject, headers (CloudEvents attributes, trace context) and a payload."""

    subject: str
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


class Delivery(Protocol):
    """A message handed to a durable consumer; acknowledge it, or it comes again."""

    message: Message
    # 1 the first time.
    attempts: int

    async def ack(self) -> None:
        """It is done with."""
        ...

    async def nak(self, delay: float) -> None:
        """It comes again after `delay` seconds."""
        ...


class Bus(Protocol):
    """Durable subjects below `lightrail.`; at least once, usually in order."""

    async def publish(self, message: Message, *, message_id: str) -> None:
        """Returns when the bus has stored it; the same id within two minutes is stored once. Unavailable when away."""
        ...

    def consume(self, pattern: str, durable: str) -> AbstractAsyncContextManager[AsyncIterator[Delivery]]:
        """Messages for `durable`, from where it left; survives reconnects and a lost stream."""
        ...

    def listen(self, pattern: str) -> AbstractAsyncContextManager[AsyncIterator[Message]]:
        """Messages from now on, for this listener alone; may miss some when the bus is away."""
        ...

    async def close(self) -> None:
        """Leaves the bus."""
        ...


def matches(pattern: str, subject: str) -> bool:
    """Whether a NATS pattern (`*` one token, `>` the rest) covers a subject."""
    wanted, given = pattern.split("."), subject.split(".")
    for index, word in enumerate(wanted):
        if word == ">":
            return len(given) > index
        if index >= len(given) or word not in ("*", given[index]):
            return False
    return len(wanted) == len(given)

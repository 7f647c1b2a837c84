"""A bus inside one process, for unit tests; held to the same contract as NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from libs.bus.message import Delivery, Message, matches

T = TypeVar("T")


@dataclass
class _Durable:
    pattern: str
    queue: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)
    position: int = 0


@dataclass
class _MemoryDelivery:
    message: Message
    attempts: int
    durable: _Durable
    unacked: set[int]
    number: int

    async def ack(self) -> None:
        self.unacked.discard(self.number)

    async def nak(self, delay: float) -> None:
        again = _MemoryDelivery(self.message, self.attempts + 1, self.durable, self.unacked, self.number)
        asyncio.get_running_loop().call_later(delay, self.durable.queue.put_nowait, again)


class MemoryBus:
    """Keeps every message; durables resume where they left, listeners hear from now on."""

    def __init__(self) -> None:
        self._log: list[Message] = []
        self._ids: set[str] = set()
        self._durables: dict[str, _Durable] = {}
        self._pending: dict[str, set[int]] = {}
        self._listeners: list[tuple[str, asyncio.Queue[Message]]] = []

    async def publish(self, message: Message, *, message_id: str) -> None:
        """Stores it once per id and hands it on."""
        if message_id in self._ids:
            return
        self._ids.add(message_id)
        self._log.append(message)
        for name, durable in self._durables.items():
            self._feed(name, durable)
        for pattern, queue in self._listeners:
            if matches(pattern, message.subject):
                queue.put_nowait(message)

    @asynccontextmanager
    async def consume(self, pattern: str, durable: str) -> AsyncIterator[AsyncIterator[Delivery]]:
        """Messages for `durable`; those not acknowledged come again to the next consumer of the name."""
        state = self._durables.setdefault(durable, _Durable(pattern))
        pending = self._pending.setdefault(durable, set())
        state.queue = asyncio.Queue()
        for number in sorted(pending):
            state.queue.put_nowait(_MemoryDelivery(self._log[number], 2, state, pending, number))
        self._feed(durable, state)
        yield _drain(state.queue)

    @asynccontextmanager
    async def listen(self, pattern: str) -> AsyncIterator[AsyncIterator[Message]]:
        """Messages from now on."""
        entry: tuple[str, asyncio.Queue[Message]] = (pattern, asyncio.Queue())
        self._listeners.append(entry)
        try:
            yield _drain(entry[1])
        finally:
            self._listeners.remove(entry)

    async def close(self) -> None:
        """Forgets its listeners."""
        self._listeners.clear()

    def _feed(self, name: str, durable: _Durable) -> None:
        pending = self._pending[name]
        for number in range(durable.position, len(self._log)):
            if matches(durable.pattern, self._log[number].subject):
                pending.add(number)
                durable.queue.put_nowait(_MemoryDelivery(self._log[number], 1, durable, pending, number))
        durable.position = len(self._log)


async def _drain(queue: asyncio.Queue[T]) -> AsyncIterator[T]:
    while True:
        yield await queue.get()

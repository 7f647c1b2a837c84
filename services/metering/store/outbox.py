"""Facts go into the outbox, in the transaction of what they tell of."""

from __future__ import annotations

from collections.abc import Callable

from libs.facts import NewFact, Outbox
from services.metering.domain.facts import MinuteRecorded


class OutboxFacts:
    """Records facts of metering."""

    def __init__(self, outbox: Outbox, encode: Callable[[MinuteRecorded], NewFact]) -> None:
        self._outbox = outbox
        self._encode = encode

    async def record(self, fact: MinuteRecorded) -> None:
        """Writes the fact into the running transaction."""
        await self._outbox.record(self._encode(fact))

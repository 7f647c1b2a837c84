"""The outbox as the use cases know it."""

from __future__ import annotations

from libs.facts import Outbox
from services.project.domain.facts import Happened
from services.project.events.codec import encode


class OutboxFacts:
    """Records what happened in the transaction of the change it tells of."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def record(self, fact: Happened) -> None:
        """Tells it if and only if the running transaction commits."""
        await self._outbox.record(encode(fact))

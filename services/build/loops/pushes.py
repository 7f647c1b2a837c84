"""Sees to it that every push ends: its branch moves when its build has succeeded, whoever is still there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.reconcile import Again, Done
from services.build.app.pushes import Pushes, PushLedger
from services.build.domain.push import PushState

PERIOD: Final = 5.0
AGAIN: Final = 2.0


class PushLoop:
    """Settles pushes that are pending."""

    name = "pushes"
    period = PERIOD

    def __init__(self, pushes: Pushes, ledger: PushLedger) -> None:
        self._pushes = pushes
        self._ledger = ledger

    async def due(self) -> Sequence[str]:
        """Pushes of which it is not known what becomes of them."""
        return [push.id for push in await self._ledger.pending()]

    async def step(self, key: str) -> Again | Done:
        """Looks at one push; harmless when repeated."""
        push = await self._ledger.get(key)
        if push is None or push.state is not PushState.PENDING:
            return Done()
        return Again(AGAIN) if await self._pushes.settle(push) is PushState.PENDING else Done()

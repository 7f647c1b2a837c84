"""Ended sessions leave the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.kernel.context import platform
from libs.reconcile import Again, Done, Outcome
from services.auth.app.ports import Parts
from services.auth.app.sessions import forget_sessions

KEY: Final = "sessions"


class ForgetSessions:
    """Deletes sessions some days after they ended, a batch a step."""

    name = "auth.sessions"
    period = 3_600.0

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def due(self) -> Sequence[str]:
        """Always the one key: looking is as cheap as asking whether to look."""
        return [KEY]

    async def step(self, key: str) -> Outcome:
        """Deletes a batch; again while batches are full."""
        del key
        return Again(after=0.05) if await forget_sessions(platform("auth"), self._parts) else Done()

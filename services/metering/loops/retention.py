"""Old samples leave the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.kernel.context import platform
from libs.reconcile import Again, Done, Outcome
from services.metering.app.ports import Parts
from services.metering.app.sampling import forget_samples

KEY: Final = "samples"


class Retention:
    """Deletes samples after their time, a batch a step."""

    name = "metering.retention"
    period = 3_600.0

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def due(self) -> Sequence[str]:
        """Always the one key: looking is as cheap as asking whether to look."""
        return [KEY]

    async def step(self, key: str) -> Outcome:
        """Deletes a batch; again while batches are full."""
        del key
        return Again(after=0.05) if await forget_samples(platform("metering"), self._parts) else Done()

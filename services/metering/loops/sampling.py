"""Looks at the counters every minute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.kernel.context import platform
from libs.reconcile import Done, Outcome
from services.metering.app.ports import Parts
from services.metering.app.sampling import sample_instances, sample_traffic

_SAMPLERS: Final = {"instances": sample_instances, "traffic": sample_traffic}


class Sampling:
    """Takes one sample a period of deploy's counters and of the router's; one that is away does not stop the other."""

    name = "metering.sampling"

    def __init__(self, parts: Parts, period_seconds: float) -> None:
        self._parts = parts
        self.period = period_seconds

    async def due(self) -> Sequence[str]:
        """Both, always."""
        return list(_SAMPLERS)

    async def step(self, key: str) -> Outcome:
        """Stores what was used since the last look."""
        await _SAMPLERS[key](platform("metering"), self._parts)
        return Done()

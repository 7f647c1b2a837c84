"""Time is an argument: everything that needs it takes a `Clock`."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Tells the time and waits. Real: `libs.runtime.clock`. Virtual: `libs.testing.clock`."""

    def now(self) -> datetime:
        """The time, in UTC, with its zone."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for measuring."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns after `seconds`."""
        ...

"""The time that a build may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

# Seconds: what a build has stored is kept for an hour longer than a build may take, however it goes on.
PATIENCE: Final = 45 * 60.0


class Deadline:
    """Ends what takes longer than `seconds`; while a build waits for another one, its time stands still."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout: asyncio.Timeout | None = None
        # Several parts of one build may wait at once.
        self._waiting = 0
        self._since = self._end = 0.0
        self._patience = PATIENCE

    @property
    def expired(self) -> bool:
        """Whether the time ran out."""
        return self._timeout is not None and self._timeout.expired()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Cancels the block when the time is over, which is a TimeoutError then."""
        async with asyncio.timeout(self._seconds) as self._timeout:
            yield

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The time of the block does not count, up to `PATIENCE` in all."""
        timeout, loop = self._timeout, asyncio.get_running_loop()
        when = timeout.when() if timeout else None
        if timeout is None or when is None or timeout.expired():
            yield
            return
        if not self._waiting:
            self._since, self._end = loop.time(), when
            timeout.reschedule(when + self._patience)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting and not timeout.expired():
                waited = min(loop.time() - self._since, self._patience)
                self._patience -= waited
                timeout.reschedule(self._end + waited)

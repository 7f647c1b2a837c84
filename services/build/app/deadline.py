"""The time that a build may take."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager


class Deadline:
    """Ends what takes longer than `seconds`; while a build waits for another one, its time stands still."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timeout: asyncio.Timeout | None = None
        # Several parts of one build may wait at once.
        self._waiting = 0
        self._left = 0.0

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
        """The time of the block does not count."""
        timeout, loop = self._timeout, asyncio.get_running_loop()
        when = timeout.when() if timeout else None
        if timeout is None or (when is None and not self._waiting):
            yield
            return
        if when is not None:
            self._left = when - loop.time()
            timeout.reschedule(None)
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting and not timeout.expired():
                timeout.reschedule(loop.time() + self._left)

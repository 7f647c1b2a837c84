"""Tells those who wait in this process that something happened; who misses it looks again soon."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress


class Wakes:
    """Bells by key."""

    def __init__(self) -> None:
        self._bells: dict[str, set[asyncio.Event]] = {}

    def wake(self, key: str) -> None:
        """Rings for everyone who hears this key."""
        for bell in self._bells.get(key, ()):
            bell.set()

    @contextmanager
    def hear(self, key: str) -> Iterator[Callable[[float], Awaitable[None]]]:
        """Gives a function that waits for the next ring, at most so many seconds; a ring while away counts."""
        bell = asyncio.Event()
        self._bells.setdefault(key, set()).add(bell)

        async def heard(seconds: float) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await bell.wait()
            bell.clear()

        try:
            yield heard
        finally:
            bells = self._bells[key]
            bells.discard(bell)
            if not bells:
                del self._bells[key]

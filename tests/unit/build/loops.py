"""An event loop whose time passes as fast as nobody has anything to do."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable


class _Skipping(selectors.DefaultSelector):
    """Does not wait: whoever asks it to is told how long it would have been."""

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready now."""
        self.skipped += timeout or 0.0
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, selector: _Skipping) -> None:
        self._skipping = selector
        super().__init__(selector)

    def time(self) -> float:
        """What has passed, the waiting included that did not take place."""
        return super().time() + self._skipping.skipped


def skipping(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Runs a test in such a loop."""

    @functools.wraps(test)
    def run() -> None:
        loop = _Loop(_Skipping())
        try:
            loop.run_until_complete(asyncio.ensure_future(test(), loop=loop))
        finally:
            loop.close()

    return run

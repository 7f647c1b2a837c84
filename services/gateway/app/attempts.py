"""Slows down guessing: failed attempts per address and minute."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from libs.kernel.clock import Clock

# Failed attempts one address may make in a window. A person mistypes a few times; a program guesses thousands.
LIMIT: Final = 10
# Seconds.
WINDOW: Final = 60.0
ADDRESSES: Final = 10_000


@dataclass(slots=True)
class _Window:
    ends: float
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left for an address: failures it may still make, and whole seconds until all are given back."""

    limit: int
    remaining: int
    reset_seconds: int


class Attempts:
    """Counts failures only: signing in rightly, however often, costs nothing."""

    def __init__(self, clock: Clock, *, limit: int = LIMIT, window: float = WINDOW) -> None:
        self._clock = clock
        self._limit = limit
        self._window = window
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def left(self, address: str) -> Allowance:
        """What `address` may still do now."""
        now = self._clock.monotonic()
        window = self._windows.get(address)
        if window is None or window.ends <= now:
            return Allowance(self._limit, self._limit, math.ceil(self._window))
        return Allowance(self._limit, max(0, self._limit - window.failures), math.ceil(window.ends - now))

    def failed(self, address: str) -> None:
        """Takes note of a failure."""
        now = self._clock.monotonic()
        window = self._windows.get(address)
        if window is None or window.ends <= now:
            window = _Window(now + self._window)
            self._windows[address] = window
        window.failures += 1
        self._windows.move_to_end(address)
        while len(self._windows) > ADDRESSES:
            self._windows.popitem(last=False)

"""How often somebody may try to sign in. Kept in process: several replicas each allow as much."""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.errors import Exhausted

WINDOW_SECONDS: Final = 600.0
# Wrong passwords for one address from one place. A person who forgot theirs gives up sooner.
PER_PERSON: Final = 10
# From one place for any address: against trying one password on everyone.
PER_PLACE: Final = 100
# Pairs remembered; the longest unused are forgotten first, so an attacker cannot fill the memory.
REMEMBERED: Final = 20_000


class Attempts:
    """Counts sign-ins that were tried and did not succeed within the window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tried: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def begin(self, email: str, place: str) -> None:
        """Counts an attempt before it is made, so that many at once count too. Exhausted when there were too many.

        An unknown `place` (empty) has no limit of its own: all the unknown together would lock each other out.
        """
        limits = [((email, place), PER_PERSON)] + ([(("", place), PER_PLACE)] if place else [])
        now = self._clock.monotonic()
        for key, limit in limits:
            tried = self._recent(key, now)
            if len(tried) >= limit:
                seconds = math.ceil(tried[0] + WINDOW_SECONDS - now)
                minutes = math.ceil(seconds / 60)
                raise Exhausted(
                    "Too many attempts to sign in did not succeed.",
                    hint=f"Wait {minutes} minute{'' if minutes == 1 else 's'}, then try again.",
                )
        for key, _ in limits:
            self._recent(key, now).append(now)

    def succeeded(self, email: str, place: str) -> None:
        """Forgets the attempts of somebody who knew the password, and takes this one off the place's count."""
        self._tried.pop((email, place), None)
        of_place = self._tried.get(("", place))
        if of_place:
            of_place.pop()

    def _recent(self, key: tuple[str, str], now: float) -> deque[float]:
        tried = self._tried.setdefault(key, deque())
        self._tried.move_to_end(key)
        while tried and tried[0] <= now - WINDOW_SECONDS:
            tried.popleft()
        while len(self._tried) > REMEMBERED:
            self._tried.popitem(last=False)
        return tried

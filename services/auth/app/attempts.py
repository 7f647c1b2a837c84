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
# For one address from all places that nobody vouches for: a stranger could write a new place each time.
PER_STRANGERS: Final = 50
# Pairs remembered; the longest unused are forgotten first, so an attacker cannot fill the memory.
REMEMBERED: Final = 20_000
# No place is called so.
_ANYWHERE: Final = "*"


class Attempts:
    """Counts sign-ins that were tried and did not succeed within the window."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tried: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def begin(self, email: str, place: str, *, vouched: bool) -> None:
        """Counts an attempt before it is made, so that many at once count too. Exhausted when there were too many.

        `place` is where it comes from, empty when unknown; `vouched` when a service of the platform says so.
        """
        limits = _limits(email, place, vouched=vouched)
        now = self._clock.monotonic()
        for key, limit in limits.items():
            tried = self._recent(key, now)
            if len(tried) >= limit:
                minutes = math.ceil((tried[0] + WINDOW_SECONDS - now) / 60)
                raise Exhausted(
                    "Too many attempts to sign in did not succeed.",
                    hint=f"Wait {minutes} minute{'' if minutes == 1 else 's'}, then try again.",
                )
        for key in limits:
            self._recent(key, now).append(now)

    def succeeded(self, email: str, place: str, *, vouched: bool) -> None:
        """Forgets the attempts of somebody who knew the password, and takes this one off the wider counts."""
        for key in _limits(email, place, vouched=vouched):
            if key == (email, place):
                self._tried.pop(key, None)
            elif self._tried.get(key):
                self._tried[key].pop()

    def _recent(self, key: tuple[str, str], now: float) -> deque[float]:
        tried = self._tried.setdefault(key, deque())
        self._tried.move_to_end(key)
        while tried and tried[0] <= now - WINDOW_SECONDS:
            tried.popleft()
        while len(self._tried) > REMEMBERED:
            self._tried.popitem(last=False)
        return tried


def _limits(email: str, place: str, *, vouched: bool) -> dict[tuple[str, str], int]:
    """What an attempt counts towards, and how much is allowed. The unknown place has no count for all addresses."""
    limits = {(email, place): PER_PERSON}
    if place:
        limits["", place] = PER_PLACE
    if not vouched:
        limits[email, _ANYWHERE] = PER_STRANGERS
    return limits

"""Forgets old endpoints once they have finished what they held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.reconcile import Again, Done, Outcome
from services.router.app.ports import Gauges, Publications, Wake
from services.router.domain.world import Key, Spot, retire

LOOK_AGAIN_SECONDS = 5.0


@dataclass(slots=True)
class RetireEndpoints:
    """Takes idle draining endpoints out of the world."""

    publications: Publications
    gauges: Gauges
    clock: Clock
    wake: Wake
    name: str = "router.retire"
    period: float = 5.0

    async def due(self) -> Sequence[str]:
        """Apps with draining endpoints."""
        return ["/".join(key) for key in await self.publications.draining()]

    async def step(self, key: str) -> Outcome:
        """Drops those of one app that are done."""
        app = Key(*key.split("/"))
        endpoints = (await self.publications.draining()).get(app, ())
        if not endpoints:
            return Done()
        done = retire(endpoints, await self._in_flight(app), self.clock.now())
        if done:
            await self.publications.drop(app, done)
            self.wake()
        return Done() if len(done) == len(endpoints) else Again(LOOK_AGAIN_SECONDS)

    async def _in_flight(self, app: Key) -> Mapping[Spot, int] | None:
        try:
            return await self.gauges.in_flight(app)
        except Unavailable:
            return None  # then only their age lets them go

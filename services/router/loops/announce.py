"""Tells of endpoints whose publisher left before the edges had confirmed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from libs.reconcile import Again, Done, Outcome
from services.router.app.ports import Edges, Publications
from services.router.domain.world import Key

RETRY_SECONDS = 1.0


@dataclass(slots=True)
class AnnounceEndpoints:
    """Announces what every edge serves and nobody has been told."""

    publications: Publications
    edges: Edges
    announce: Callable[[Key, int], Awaitable[None]]
    name: str = "router.announce"
    period: float = 5.0

    async def due(self) -> Sequence[str]:
        """Apps with something left to tell."""
        return ["/".join(found.key) for found in await self.publications.unannounced()]

    async def step(self, key: str) -> Outcome:
        """Announces the app's version, if the edges have it."""
        for found in await self.publications.unannounced():
            if "/".join(found.key) == key:
                if not self.edges.serving(found.key, found.version):
                    return Again(RETRY_SECONDS)
                await self.announce(found.key, found.version)
        return Done()

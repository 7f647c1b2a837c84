"""Brings the world from the database to the file that stands in for it, and to the edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from libs.reconcile import Done, Outcome
from services.router.app.ports import Edges, Memory, Worlds
from services.router.domain.world import World

WORLD = "world"


@dataclass(slots=True)
class TellEdges:
    """Looks whether the world has changed; if so, remembers it, then tells the edges.

    In this order, what edges have confirmed is always on disk: whoever then stops the old instances need not fear that
    an edge which starts from the file leads to them. What is on disk and not yet told runs as well as what is told.
    """

    worlds: Worlds
    edges: Edges
    memory: Memory
    name: str = "router.edges"
    period: float = 5.0
    _world: World | None = field(default=None, init=False)
    _remembered: int = field(default=-1, init=False)

    async def due(self) -> Sequence[str]:
        """There is one world."""
        return [WORLD]

    async def step(self, key: str) -> Outcome:  # noqa: ARG002 - there is one world
        """Makes edges and file equal to the database."""
        revision = await self.worlds.revision()
        if revision == self.edges.revision == self._remembered:
            return Done()
        # A database that is behind us was put back from a copy: what we know of it is worth nothing.
        known = self._world if self._world is not None and self._world.revision <= revision else None
        world = self._world = await self.worlds.load(known)
        if world.revision != self._remembered:
            # Not taken: tried again with the next look.
            self._remembered = world.revision if await self.memory.remember(world) else -1
        if world.revision != self.edges.revision:
            await self.edges.put(world)
        return Done()

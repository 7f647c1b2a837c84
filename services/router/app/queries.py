"""What others may know from the router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from services.router.app.ports import Gauges, Names, Publications, Traffic
from services.router.domain.world import Key, Name, Spot, departed


@dataclass(frozen=True, slots=True)
class Activity:
    """Requests under way. An endpoint that is not named has none."""

    in_flight: Mapping[Spot, int]
    departed: int


@dataclass(frozen=True, slots=True)
class Queries:
    """The router's queries, bound to what they read."""

    names: Names
    publications: Publications
    gauges: Gauges
    clock: Clock
    edge_port: int

    async def list_names(self, ctx: Ctx, service_ids: Sequence[str], environment_id: str) -> Sequence[Name]:
        """Names the caller may see; no filter means all of them."""
        found = await self.names.list(service_ids, environment_id)
        return [name for name in found if ctx.workspaces is None or name.workspace_id in ctx.workspaces]

    async def generation(self, key: Key) -> int:
        """The generation that is published for the app; 0: none ever was."""
        published = await self.publications.of(key)
        return 0 if published is None else published.generation

    async def activity(self, key: Key) -> Activity:
        """Requests under way at the app's endpoints, and how many of them at endpoints that have been replaced."""
        in_flight = await self.gauges.in_flight(key)
        published = await self.publications.of(key)
        held = 0 if published is None else departed(published, in_flight, self.clock.now())
        return Activity(in_flight, held)

    async def traffic(self) -> Traffic:
        """Bytes that left for each app through the edge, since the edge started."""
        return await self.gauges.traffic()

    def url(self, name: Name) -> str:
        """Where a browser finds it."""
        return f"http://{name.host}:{self.edge_port}"

"""What others may know from the router."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.kernel.context import Ctx
from services.router.app.ports import Gauges, Names, Traffic
from services.router.domain.world import Key, Name, Spot


@dataclass(frozen=True, slots=True)
class Queries:
    """The router's queries, bound to what they read."""

    names: Names
    gauges: Gauges
    edge_port: int

    async def list_names(self, ctx: Ctx, service_ids: Sequence[str], environment_id: str) -> Sequence[Name]:
        """Names the caller may see; no filter means all of them."""
        found = await self.names.list(service_ids, environment_id)
        return [name for name in found if ctx.workspaces is None or name.workspace_id in ctx.workspaces]

    async def in_flight(self, key: Key) -> Mapping[Spot, int]:
        """Requests under way at each endpoint the edge still knows; one that is not named has none."""
        return await self.gauges.in_flight(key)

    async def traffic(self) -> Traffic:
        """Bytes that left for each app through the edge, since the edge started."""
        return await self.gauges.traffic()

    def url(self, name: Name) -> str:
        """Where a browser finds it."""
        return f"http://{name.host}:{self.edge_port}"

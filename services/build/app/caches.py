"""What builds keep for the next one: shown, and cleared on a person's word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.kernel.errors import Denied, Invalid, NotFound
from libs.kernel.ids import is_id
from services.build.app.ports import Cache, Caches, Freed, KeptLayer, KeptLayers, Projects

LONGEST_TOOL: Final = 64


@dataclass(frozen=True, slots=True)
class Kept:
    """All caches of a workspace, or of one of its services."""

    tools: list[Cache]
    layers: list[KeptLayer]


@dataclass(frozen=True, slots=True)
class Cleared:
    """What went, and the tools that builds were using."""

    freed: Freed
    busy: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheDesk:
    """Use cases around caches."""

    caches: Caches
    layers: KeptLayers
    projects: Projects
    clock: Clock

    async def list(self, ctx: Ctx, workspace_id: str, service_id: str) -> Kept:
        """The tools' downloads of the workspace and its dependency layers; of a service only its layers."""
        workspace = await self._workspace(ctx, workspace_id, service_id)
        tools = [] if service_id else await self.caches.of_workspace(workspace)
        return Kept(tools, await self.layers.of_workspace(workspace, service_id))

    async def clear(self, ctx: Ctx, workspace_id: str, service_id: str, tool: str) -> Cleared:
        """Forgets layers and removes downloads; a build under way keeps what it uses. Repeating does no harm."""
        if service_id and tool:
            raise Invalid("Downloads of a tool belong to the whole workspace: name a service or a tool.", field="tool")
        if len(tool) > LONGEST_TOOL:
            raise Invalid("No tool has such a long name.", field="tool")
        workspace = await self._workspace(ctx, workspace_id, service_id)
        freed, busy = Freed(), []
        if not tool:
            freed += await self.layers.clear(workspace, service_id, self.clock.now())
        if not service_id:
            found = [cache for cache in await self.caches.of_workspace(workspace) if tool in ("", cache.name)]
            if tool and not found:
                raise NotFound(f"There are no downloads of {tool} in this workspace.", field="tool")
            for cache in found:
                if await self.caches.remove(cache):
                    freed += Freed(1, cache.size_bytes)
                else:
                    busy.append(cache.name)
        return Cleared(freed, tuple(busy))

    async def _workspace(self, ctx: Ctx, workspace_id: str, service_id: str) -> str:
        """The workspace meant; NotFound when it or the service is not the caller's, or they do not belong together."""
        if service_id:
            if not is_id(service_id, "service"):
                raise Invalid(f"“{service_id[:64]}” is no service id.", field="service_id")
            service = await self.projects.service(ctx, service_id)
            ctx.allow(service.workspace_id, service.project_id, what=f"Service {service_id}")
            if workspace_id not in ("", service.workspace_id):
                raise NotFound(f"Workspace {workspace_id[:64]} does not exist, or has no such service.")
            return service.workspace_id
        if ctx.actor.project_id:
            raise Denied(
                "This token is for one project, and these caches are the whole workspace's.",
                hint="Name a service of the project.",
            )
        return ctx.only_workspace(workspace_id)

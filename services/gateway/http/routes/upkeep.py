"""What builds keep for the next one: look, and clear."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from libs.protogen.lightrail.build.v1 import upkeep_pb2
from services.gateway.http.doors import UPKEEP, Caller, To, authorized
from services.gateway.http.models.base import Items, ServiceId, Text, WorkspaceId
from services.gateway.http.models.upkeep import Cache, ClearedCaches

router = APIRouter(tags=["builds"])


@router.get("/build-caches", operation_id="listBuildCaches")
async def list_caches(
    caller: Annotated[Caller, authorized(f"{UPKEEP}/ListCaches")],
    to: To,
    workspace_id: WorkspaceId | None = None,
    service_id: ServiceId | None = None,
) -> Items[Cache]:
    """What the workspace's builds keep for the next one, or one service's dependencies; those used last first."""
    message = upkeep_pb2.ListCachesRequest(workspace_id=workspace_id or "", service_id=service_id or "")
    answer = await to.upkeep.peer.call(to.upkeep.stub.ListCaches, message, caller.ctx)
    return Items(items=[Cache.of(row) for row in answer.caches])


@router.delete("/build-caches", operation_id="clearBuildCaches")
async def clear_caches(
    caller: Annotated[Caller, authorized(f"{UPKEEP}/ClearCaches")],
    to: To,
    workspace_id: WorkspaceId | None = None,
    service_id: ServiceId | None = None,
    tool: Text = "",
) -> ClearedCaches:
    """Forgets them: all, one service's dependencies, or one tool's downloads. Builds under way lose nothing."""
    message = upkeep_pb2.ClearCachesRequest(workspace_id=workspace_id or "", service_id=service_id or "", tool=tool)
    answer = await to.upkeep.peer.call(to.upkeep.stub.ClearCaches, message, caller.ctx)
    return ClearedCaches(count=answer.count, bytes=answer.bytes, busy=list(answer.busy))

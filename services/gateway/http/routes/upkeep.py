"""What builds keep for the next one: look, and clear."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter

from libs.protogen.lightrail.build.v1 import upkeep_pb2
from services.gateway.http.doors import UPKEEP, Caller, To, authorized
from services.gateway.http.models.base import Items, ServiceId, Text, WorkspaceId
from services.gateway.http.models.upkeep import Cache, ClearedCaches, Collection

router = APIRouter(tags=["builds"])
# A disk full of blobs takes a while to look through.
COLLECT_SECONDS = 600.0


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


@router.get("/platform/collection", operation_id="getCollection", tags=["platform"])
async def get_collection(caller: Annotated[Caller, authorized(f"{UPKEEP}/GetCollection")], to: To) -> Collection:
    """What the last collection removed, and why. Operators only."""
    message = upkeep_pb2.GetCollectionRequest()
    answer = await to.upkeep.peer.call(to.upkeep.stub.GetCollection, message, caller.ctx)
    return Collection.of(answer.collection)


@router.post("/platform/collection", operation_id="collect", tags=["platform"])
async def collect(
    caller: Annotated[Caller, authorized(f"{UPKEEP}/Collect")],
    to: To,
    dry_run: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> Collection:
    """Removes what nobody needs any more now, or says what would go. Operators only."""
    message = upkeep_pb2.CollectRequest(dry_run=dry_run)
    answer = await to.upkeep.peer.call(to.upkeep.stub.Collect, message, caller.ctx, timeout=COLLECT_SECONDS)
    return Collection.of(answer.collection)

"""Serves BuildUpkeepService."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc

from libs.protogen.lightrail.build.v1 import upkeep_pb2, upkeep_pb2_grpc
from libs.rpc import current
from services.build.app.caches import CacheDesk
from services.build.app.collect import Collector
from services.build.app.keeping import Told
from services.build.rpc.codec import time_message

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


class UpkeepServicer(upkeep_pb2_grpc.BuildUpkeepServiceServicer):
    """Each RPC is one use case."""

    def __init__(self, caches: CacheDesk, collector: Collector) -> None:
        self._caches = caches
        self._collector = collector

    async def ListCaches(
        self, request: upkeep_pb2.ListCachesRequest, context: Context
    ) -> upkeep_pb2.ListCachesResponse:
        """Gives what is kept for the next build."""
        kept = await self._caches.list(current(), request.workspace_id, request.service_id)
        tools = [
            upkeep_pb2.Cache(kind="tool", name=one.name, size_bytes=one.size_bytes, used_at=time_message(one.used_at))
            for one in kept.tools
        ]
        layers = [
            upkeep_pb2.Cache(
                kind="dependencies",
                name=one.layer.mount,
                size_bytes=one.layer.size_bytes,
                used_at=time_message(one.used_at),
                service_id=one.service_id,
            )
            for one in kept.layers
        ]
        return upkeep_pb2.ListCachesResponse(caches=[*tools, *layers])

    async def ClearCaches(
        self, request: upkeep_pb2.ClearCachesRequest, context: Context
    ) -> upkeep_pb2.ClearCachesResponse:
        """Forgets what is kept."""
        cleared = await self._caches.clear(current(), request.workspace_id, request.service_id, request.tool)
        return upkeep_pb2.ClearCachesResponse(count=cleared.freed.count, bytes=cleared.freed.bytes, busy=cleared.busy)

    async def Collect(self, request: upkeep_pb2.CollectRequest, context: Context) -> upkeep_pb2.CollectResponse:
        """Collects now, or says what would go."""
        report = await self._collector.collect(dry_run=request.dry_run)
        told = self._collector.told(report, dry_run=request.dry_run)
        return upkeep_pb2.CollectResponse(collection=_collection(told))

    async def GetCollection(
        self, request: upkeep_pb2.GetCollectionRequest, context: Context
    ) -> upkeep_pb2.GetCollectionResponse:
        """Gives the last report."""
        return upkeep_pb2.GetCollectionResponse(collection=_collection(await self._collector.last()))


def upkeep(caches: CacheDesk, collector: Collector) -> tuple[Callable[[Any, grpc.aio.Server], None], UpkeepServicer]:
    """The servicer behind the function that adds it to a server."""
    return upkeep_pb2_grpc.add_BuildUpkeepServiceServicer_to_server, UpkeepServicer(caches, collector)


def _collection(told: Told) -> upkeep_pb2.Collection:
    return upkeep_pb2.Collection(
        at=time_message(told.at),
        dry_run=told.dry_run,
        pressed=told.pressed,
        disk_total_bytes=told.disk.total,
        disk_free_bytes=told.disk.free,
        items=[
            upkeep_pb2.Collected(what=one.what, count=one.freed.count, bytes=one.freed.bytes, why=one.why)
            for one in told.items
        ],
        unknown=told.unknown,
    )

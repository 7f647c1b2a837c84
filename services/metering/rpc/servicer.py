"""MeteringService: each method is one use case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from libs.protogen.lightrail.metering.v1 import metering_pb2 as pb
from libs.protogen.lightrail.metering.v1 import metering_pb2_grpc
from libs.rpc import current
from libs.rpc.server import Servicer
from services.metering.app.ports import Parts
from services.metering.app.usage import query_usage
from services.metering.rpc import codec

if TYPE_CHECKING:
    import grpc.aio

    Context = grpc.aio.ServicerContext[object, object]


class MeteringServicer(metering_pb2_grpc.MeteringServiceServicer):
    """Answers lightrail.metering.v1.MeteringService."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def QueryUsage(self, request: pb.QueryUsageRequest, context: Context) -> pb.QueryUsageResponse:
        """What was used, and what it costs."""
        return codec.bill(await query_usage(current(), self._parts, codec.asked(request)))


def servicer(parts: Parts) -> Servicer:
    """Returns the service behind the function that adds it to a server."""
    return metering_pb2_grpc.add_MeteringServiceServicer_to_server, MeteringServicer(parts)

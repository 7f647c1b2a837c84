"""The router's counters of the edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.kernel.context import Ctx
from libs.protogen.lightrail.router.v1 import router_pb2, router_pb2_grpc
from libs.rpc import Peer
from services.metering.domain.model import Edge, EdgeKey

PATIENCE_SECONDS: Final = 5.0


class RouterTraffic:
    """Asks router.SampleTraffic."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = router_pb2_grpc.RouterServiceStub(peer.channel)

    async def read(self, ctx: Ctx) -> Sequence[Edge]:
        """Every counter of the edge. Unavailable when the router is away."""
        answer = await self._peer.call(
            self._stub.SampleTraffic,
            router_pb2.SampleTrafficRequest(),
            ctx,
            timeout=PATIENCE_SECONDS,
        )
        return [
            Edge(EdgeKey(sample.edge_epoch, sample.service_id, sample.environment_id), sample.egress_bytes)
            for sample in answer.samples
        ]

"""The router, as deploy needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.kernel.context import Ctx
from libs.protogen.lightrail.router.v1 import router_pb2, router_pb2_grpc
from libs.rpc import Peer
from services.deploy.app.ports import Service
from services.deploy.domain.model import PAIR_SEPARATOR, Endpoint

LOOPBACK: Final = "127.0.0.1"
PUBLISH_SECONDS: Final = 10.0


class GrpcEdge:
    """Asks the router over gRPC."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = router_pb2_grpc.RouterServiceStub(peer.channel)

    async def claim(self, ctx: Ctx, service: Service) -> str:
        """The service's URL; the same every time."""
        request = router_pb2.ClaimNameRequest(
            service_id=service.id,
            environment_id=service.environment_id,
            workspace_id=service.workspace_id,
            service_name=service.name,
            environment_name=service.environment_name,
        )
        return (await self._peer.call(self._stub.ClaimName, request, ctx)).name.url

    async def publish(
        self, ctx: Ctx, pair: str, endpoints: Sequence[Endpoint], generation: int, deployment_id: str
    ) -> None:
        """Returns when every edge sends new requests there; Unavailable: try again.

        Conflict: a later generation is published, or an edge refuses it.
        """
        service_id, _, environment_id = pair.partition(PAIR_SEPARATOR)
        request = router_pb2.PublishEndpointsRequest(
            service_id=service_id,
            environment_id=environment_id,
            endpoints=[
                router_pb2.Endpoint(instance_id=endpoint.instance_id, address=LOOPBACK, port=endpoint.port)
                for endpoint in endpoints
            ],
            generation=generation,
            deployment_id=deployment_id,
        )
        await self._peer.call(self._stub.PublishEndpoints, request, ctx, timeout=PUBLISH_SECONDS)

    async def generation(self, ctx: Ctx, pair: str) -> int:
        """The generation that is published for a pair; 0: none ever was."""
        service_id, _, environment_id = pair.partition(PAIR_SEPARATOR)
        request = router_pb2.GetPublicationRequest(service_id=service_id, environment_id=environment_id)
        return (await self._peer.call(self._stub.GetPublication, request, ctx)).generation

    async def in_flight(self, ctx: Ctx, pair: str) -> int:
        """Requests that endpoints which have left still hold."""
        service_id, _, environment_id = pair.partition(PAIR_SEPARATOR)
        request = router_pb2.GetActivityRequest(service_id=service_id, environment_id=environment_id)
        return (await self._peer.call(self._stub.GetActivity, request, ctx)).departed_active_requests

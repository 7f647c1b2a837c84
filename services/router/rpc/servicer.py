"""RouterService: each RPC is one use case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.protogen.lightrail.router.v1 import router_pb2, router_pb2_grpc
from libs.rpc import current
from services.router.app.commands import Commands
from services.router.app.queries import Queries
from services.router.domain.world import Endpoint, Key, Name

ADD: Final = router_pb2_grpc.add_RouterServiceServicer_to_server


@dataclass(frozen=True, slots=True)
class RouterServicer(router_pb2_grpc.RouterServiceServicer):
    """The router's gRPC door."""

    commands: Commands
    queries: Queries

    async def ClaimName(self, request: router_pb2.ClaimNameRequest, context: object) -> router_pb2.ClaimNameResponse:
        """Gives a service in an environment its host name."""
        name = await self.commands.claim_name(
            current(),
            Key(request.service_id, request.environment_id),
            request.workspace_id,
            service_name=request.service_name,
            environment_name=request.environment_name,
        )
        return router_pb2.ClaimNameResponse(name=self._name(name))

    async def ListNames(self, request: router_pb2.ListNamesRequest, context: object) -> router_pb2.ListNamesResponse:
        """Names claimed so far."""
        names = await self.queries.list_names(current(), list(request.service_ids), request.environment_id)
        return router_pb2.ListNamesResponse(names=[self._name(name) for name in names])

    async def PublishEndpoints(
        self, request: router_pb2.PublishEndpointsRequest, context: object
    ) -> router_pb2.PublishEndpointsResponse:
        """Replaces an app's endpoints, and answers when every edge has them."""
        version = await self.commands.publish_endpoints(
            current(),
            Key(request.service_id, request.environment_id),
            [Endpoint(one.instance_id, one.address, one.port) for one in request.endpoints],
            request.generation,
            deployment_id=request.deployment_id,
        )
        return router_pb2.PublishEndpointsResponse(version=version)

    async def GetPublication(
        self, request: router_pb2.GetPublicationRequest, context: object
    ) -> router_pb2.GetPublicationResponse:
        """The generation that is published."""
        generation = await self.queries.generation(Key(request.service_id, request.environment_id))
        return router_pb2.GetPublicationResponse(generation=generation)

    async def GetActivity(
        self, request: router_pb2.GetActivityRequest, context: object
    ) -> router_pb2.GetActivityResponse:
        """Requests in flight per endpoint."""
        found = await self.queries.activity(Key(request.service_id, request.environment_id))
        return router_pb2.GetActivityResponse(
            endpoints=[
                router_pb2.EndpointActivity(address=spot.address, port=spot.port, active_requests=active)
                for spot, active in sorted(found.in_flight.items())
            ],
            departed_active_requests=found.departed,
        )

    async def SampleTraffic(
        self, request: router_pb2.SampleTrafficRequest, context: object
    ) -> router_pb2.SampleTrafficResponse:
        """Bytes and requests per app since the edge started."""
        traffic = await self.queries.traffic()
        return router_pb2.SampleTrafficResponse(
            samples=[
                router_pb2.TrafficSample(
                    service_id=one.key.service_id,
                    environment_id=one.key.environment_id,
                    egress_bytes=one.egress_bytes,
                    requests=one.requests,
                    edge_epoch=traffic.epoch,
                )
                for one in traffic.samples
            ]
        )

    def _name(self, name: Name) -> router_pb2.Name:
        return router_pb2.Name(
            service_id=name.service_id,
            environment_id=name.environment_id,
            host=name.host,
            url=self.queries.url(name),
        )

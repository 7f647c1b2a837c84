"""The least an Envoy wants to hear: one listener, one route, one cluster, over delta ADS."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from libs.protogen.envoy.config.cluster.v3 import cluster_pb2
from libs.protogen.envoy.config.core.v3 import address_pb2, config_source_pb2
from libs.protogen.envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from libs.protogen.envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from libs.protogen.envoy.config.route.v3 import route_components_pb2, route_pb2
from libs.protogen.envoy.extensions.filters.http.router.v3 import router_pb2
from libs.protogen.envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2 as hcm
from libs.protogen.envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2

ADS = config_source_pb2.ConfigSource(
    ads=config_source_pb2.AggregatedConfigSource(), resource_api_version=config_source_pb2.ApiVersion.V3
)


def packed(message: Message) -> AnyMessage:
    box = AnyMessage()
    box.Pack(message)
    return box


def socket_at(address: str) -> address_pb2.Address:
    host, _, port = address.rpartition(":")
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=int(port)))


def resources(edge: str, gateway: str) -> dict[str, tuple[str, AnyMessage]]:
    """Everything, by its type."""
    manager = hcm.HttpConnectionManager(
        stat_prefix="edge",
        rds=hcm.Rds(config_source=ADS, route_config_name="edge"),
        http_filters=[hcm.HttpFilter(name="envoy.filters.http.router", typed_config=packed(router_pb2.Router()))],
    )
    listener = listener_pb2.Listener(
        name="edge",
        address=socket_at(edge),
        filter_chains=[
            listener_components_pb2.FilterChain(
                filters=[
                    listener_components_pb2.Filter(
                        name="envoy.filters.network.http_connection_manager", typed_config=packed(manager)
                    )
                ]
            )
        ],
    )
    route = route_pb2.RouteConfiguration(
        name="edge",
        virtual_hosts=[
            route_components_pb2.VirtualHost(
                name="all",
                domains=["*"],
                routes=[
                    route_components_pb2.Route(
                        match=route_components_pb2.RouteMatch(prefix="/"),
                        route=route_components_pb2.RouteAction(cluster="gateway"),
                    )
                ],
            )
        ],
    )
    endpoint = endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=socket_at(gateway)))
    cluster = cluster_pb2.Cluster(
        name="gateway",
        type=cluster_pb2.Cluster.STATIC,
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name="gateway", endpoints=[endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[endpoint])]
        ),
    )
    boxes = [("edge", packed(listener)), ("edge", packed(route)), ("gateway", packed(cluster))]
    return {box.type_url: (name, box) for name, box in boxes}


class Ads(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def __init__(self, edge: str, gateway: str) -> None:
        self._resources = resources(edge, gateway)

    def DeltaAggregatedResources(
        self, requests: Iterator[discovery_pb2.DeltaDiscoveryRequest], _context: grpc.ServicerContext
    ) -> Iterator[discovery_pb2.DeltaDiscoveryResponse]:
        for number, request in enumerate(requests):
            if request.response_nonce or request.type_url not in self._resources:
                continue
            name, box = self._resources[request.type_url]
            yield discovery_pb2.DeltaDiscoveryResponse(
                type_url=request.type_url,
                nonce=str(number),
                resources=[discovery_pb2.Resource(name=name, version="1", resource=box)],
            )


def serve(ads: str, edge: str, gateway: str) -> grpc.Server:
    """Serves ADS on `ads` for an edge on `edge` whose one upstream is `gateway`."""
    server = grpc.server(ThreadPoolExecutor(4))
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(Ads(edge, gateway), server)
    if server.add_insecure_port(ads) == 0:
        raise OSError(f"{ads} is taken")
    server.start()
    if ads.startswith("unix:"):
        Path(ads.removeprefix("unix:")).chmod(0o666)
    return server

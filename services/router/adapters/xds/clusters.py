"""Clusters: how the edge reaches the instances of an app, and the gateway."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from google.protobuf.duration_pb2 import Duration

from libs.protogen.envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from libs.protogen.envoy.config.cluster.v3.cluster_pb2 import Cluster
from libs.protogen.envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection
from libs.protogen.envoy.config.core.v3.base_pb2 import DEFAULT, HIGH
from libs.protogen.envoy.config.core.v3.health_check_pb2 import DRAINING, HEALTHY
from libs.protogen.envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, HttpProtocolOptions
from libs.protogen.envoy.config.endpoint.v3.endpoint_components_pb2 import Endpoint as EnvoyEndpoint
from libs.protogen.envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint, LocalityLbEndpoints
from libs.protogen.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from libs.protogen.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import (
    HttpProtocolOptions as UpstreamProtocolOptions,
)
from libs.protogen.envoy.type.v3.percent_pb2 import Percent
from services.router.adapters.xds.wire import address, is_address, over_ads, packed, span, uint
from services.router.domain.world import Endpoint, Key, Spot

GATEWAY: Final = "gateway"
APP_PREFIX: Final = "app/"
CONNECT_WITHIN: Final = timedelta(seconds=5)
# A safety net: a cluster without its endpoints holds up every other change of clusters.
ENDPOINTS_WITHIN: Final = timedelta(seconds=10)
# Shorter than the keep-alive of the servers people use (2 s and up), so that Envoy is the side that closes:
# a request never meets a connection that the app is just closing.
UPSTREAM_KEEP_ALIVE: Final = timedelta(seconds=1)
# "As many as the machine can": limits that protect an app are the app's to ask for.
PLENTY: Final = 65_536
MOST_RETRIES: Final = 1_024
# What is kept of a body on its way: also how much of a request can be sent again.
BUFFER: Final = 256 * 1024


def cluster_name(key: Key) -> str:
    """Returns the name under which Envoy knows an app, also in its statistics."""
    return f"{APP_PREFIX}{key.service_id}/{key.environment_id}"


def app_key(cluster: str) -> Key | None:
    """Returns whose cluster this is; None: no app's."""
    service, slash, environment = cluster.removeprefix(APP_PREFIX).partition("/")
    return Key(service, environment) if slash and cluster.startswith(APP_PREFIX) else None


def _cluster(name: str) -> Cluster:
    """What the clusters of apps and of the gateway have in common."""
    limits = [
        CircuitBreakers.Thresholds(
            priority=priority,
            max_connections=uint(PLENTY),
            max_pending_requests=uint(PLENTY),
            max_requests=uint(PLENTY),
            max_retries=uint(MOST_RETRIES),
        )
        for priority in (DEFAULT, HIGH)
    ]
    protocol = UpstreamProtocolOptions(
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=span(UPSTREAM_KEEP_ALIVE)),
        explicit_http_config=UpstreamProtocolOptions.ExplicitHttpConfig(http_protocol_options=Http1ProtocolOptions()),
    )
    return Cluster(
        name=name,
        connect_timeout=span(CONNECT_WITHIN),
        per_connection_buffer_limit_bytes=uint(BUFFER),
        circuit_breakers=CircuitBreakers(thresholds=limits),
        # Never "anyone is better than nobody": a draining endpoint gets nothing new, whatever the others do.
        common_lb_config=Cluster.CommonLbConfig(
            healthy_panic_threshold=Percent(value=0), update_merge_window=Duration()
        ),
        typed_extension_protocol_options={
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(protocol),
        },
    )


def app_cluster(name: str) -> Cluster:
    """The cluster of one app; its endpoints come apart."""
    cluster = _cluster(name)
    cluster.MergeFrom(
        Cluster(
            type=Cluster.EDS,
            eds_cluster_config=Cluster.EdsClusterConfig(eds_config=over_ads(ENDPOINTS_WITHIN)),
            lb_policy=Cluster.LEAST_REQUEST,
            ignore_health_on_host_removal=True,
            outlier_detection=_outliers(),
        )
    )
    return cluster


def _outliers() -> OutlierDetection:
    """An instance that cannot be connected to is left alone for two seconds; what it answers is its own affair."""
    off = uint(0)
    return OutlierDetection(
        interval=span(timedelta(seconds=1)),
        base_ejection_time=span(timedelta(seconds=2)),
        max_ejection_time=span(timedelta(seconds=10)),
        max_ejection_percent=uint(50),
        split_external_local_origin_errors=True,
        consecutive_local_origin_failure=uint(3),
        enforcing_consecutive_local_origin_failure=uint(100),
        enforcing_consecutive_5xx=off,
        enforcing_consecutive_gateway_failure=off,
        enforcing_success_rate=off,
        enforcing_local_origin_success_rate=off,
    )


def assignment(name: str, endpoints: tuple[Endpoint, ...]) -> ClusterLoadAssignment:
    """The endpoints of one app. Those that drain stay in sight, so that their requests can be counted."""
    hosts = [
        LbEndpoint(
            endpoint=EnvoyEndpoint(address=address(endpoint.spot)),
            health_status=HEALTHY if endpoint.active else DRAINING,
        )
        for endpoint in sorted(endpoints, key=lambda one: one.spot)
    ]
    return ClusterLoadAssignment(
        cluster_name=name, endpoints=[LocalityLbEndpoints(lb_endpoints=hosts)] if hosts else []
    )


def gateway_cluster(spot: Spot) -> Cluster:
    """The gateway, which answers on every host that is no app's."""
    cluster = _cluster(GATEWAY)
    cluster.type = Cluster.STATIC if is_address(spot.address) else Cluster.STRICT_DNS
    cluster.load_assignment.CopyFrom(
        ClusterLoadAssignment(
            cluster_name=GATEWAY,
            endpoints=[LocalityLbEndpoints(lb_endpoints=[LbEndpoint(endpoint=EnvoyEndpoint(address=address(spot)))])],
        )
    )
    return cluster

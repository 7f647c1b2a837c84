"""The listener: the edge's limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from google.protobuf.wrappers_pb2 import BoolValue

from libs.protogen.envoy.config.core.v3.address_pb2 import CidrRange
from libs.protogen.envoy.config.core.v3.protocol_pb2 import Http2ProtocolOptions, HttpProtocolOptions
from libs.protogen.envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from libs.protogen.envoy.config.listener.v3.listener_pb2 import Listener
from libs.protogen.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from libs.protogen.envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from services.router.adapters.xds.local_replies import local_replies
from services.router.adapters.xds.wire import address, over_ads, packed, span, uint
from services.router.domain.session import ROUTES
from services.router.domain.world import Spot

LISTENER: Final = "edge"
# RFC 5737: an address for documentation, which no client has.
NOBODY: Final = "203.0.113.255"
HEADERS_KIB: Final = 32
KEEP_ALIVE: Final = timedelta(seconds=60)
# A request must have arrived whole within this, and nothing may be silent for longer; what moves may go on.
LONGEST: Final = timedelta(minutes=15)
HEADERS_WITHIN: Final = timedelta(seconds=30)
BUFFER: Final = 256 * 1024


def listener(spot: Spot, base_domain: str) -> Listener:
    """The one listener; apps are below `base_domain`."""
    manager = HttpConnectionManager(
        codec_type=HttpConnectionManager.AUTO,
        stat_prefix=LISTENER,
        rds=Rds(config_source=over_ads(), route_config_name=ROUTES),
        http_filters=[
            HttpFilter(name="envoy.filters.http.router", typed_config=packed(Router(suppress_envoy_headers=True)))
        ],
        http2_protocol_options=Http2ProtocolOptions(allow_connect=True),
        common_http_protocol_options=HttpProtocolOptions(idle_timeout=span(KEEP_ALIVE)),
        upgrade_configs=[HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        # The client's address is the connection's. Nobody's x-envoy-* headers are obeyed for having a private one:
        # the only trusted address is nobody's.
        use_remote_address=BoolValue(value=True),
        internal_address_config=HttpConnectionManager.InternalAddressConfig(
            cidr_ranges=[CidrRange(address_prefix=NOBODY, prefix_len=uint(32))]
        ),
        stream_idle_timeout=span(LONGEST),
        request_timeout=span(LONGEST),
        request_headers_timeout=span(HEADERS_WITHIN),
        max_request_headers_kb=uint(HEADERS_KIB),
        normalize_path=BoolValue(value=True),
        server_header_transformation=HttpConnectionManager.PASS_THROUGH,
        always_set_request_id_in_response=True,
        local_reply_config=local_replies(base_domain),
    )
    return Listener(
        name=LISTENER,
        address=address(spot),
        stat_prefix=LISTENER,
        filter_chains=[
            FilterChain(
                filters=[Filter(name="envoy.filters.network.http_connection_manager", typed_config=packed(manager))]
            )
        ],
        per_connection_buffer_limit_bytes=uint(BUFFER),
    )

"""Routes: what each host name answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue

from libs.kernel.secret import Secret
from libs.protogen.envoy.config.core.v3.base_pb2 import DataSource
from libs.protogen.envoy.config.route.v3.route_components_pb2 import (
    DirectResponseAction,
    RetryPolicy,
    Route,
    RouteAction,
    RouteMatch,
    VirtualHost,
)
from libs.protogen.envoy.config.route.v3.route_pb2 import RouteConfiguration
from libs.protogen.envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import PreviousHostsPredicate
from services.router.adapters.xds.wire import header, packed, uint
from services.router.domain.resources import Resource
from services.router.domain.session import ROUTES

RETRIES: Final = 2
# Draws until one is another endpoint than those that were tried: of two, a dozen draws miss once in 4,000 times.
DRAWS: Final = 12
# Only what has surely not reached the app: safe for every method.
RETRY_ON: Final = "connect-failure,refused-stream,reset-before-request"
UNAVAILABLE: Final = 503

# Filled in by Envoy for each request; whatever the client sent under these names is overwritten.
_HEADERS: Final = {
    "x-real-ip": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "x-forwarded-host": "%REQ(:authority)%",
    # Milliseconds since 1970.
    "x-request-start": "%START_TIME(%s%3f)%",
}
# Shown to the gateway alone, which believes the headers above from nobody else.
PROOF_HEADER: Final = "x-lightrail-edge"
# The first says again what x-real-ip says; the second is not for clients to send.
_NOT_FOR_APPS: Final = ("x-envoy-external-address", PROOF_HEADER)


def route_table(parts: Mapping[str, Resource]) -> bytes:
    """Returns the one route table made of these sites.

    Serialised messages joined end to end are one message with all their repeated fields: each site is encoded once in
    its life, however many others change.
    """
    head = RouteConfiguration(
        name=ROUTES,
        request_headers_to_add=[header(key, value) for key, value in _HEADERS.items()],
        request_headers_to_remove=list(_NOT_FOR_APPS),
        validate_clusters=BoolValue(value=False),
        ignore_port_in_host_matching=True,
        # So that what is taken from every host's requests may be given to one's.
        most_specific_header_mutations_wins=True,
    )
    return head.SerializeToString(deterministic=True) + b"".join(parts[name].body for name in sorted(parts))


def forward(host: str, cluster: str) -> VirtualHost:
    """A host whose requests go to a cluster."""
    return VirtualHost(
        name=host,
        domains=[host],
        routes=[
            Route(
                match=RouteMatch(prefix="/"),
                # No limit on the whole: a stream that moves may go on; the listener ends what is silent.
                route=RouteAction(cluster=cluster, timeout=Duration()),
            )
        ],
        retry_policy=RetryPolicy(
            retry_on=RETRY_ON,
            num_retries=uint(RETRIES),
            retry_host_predicate=[
                RetryPolicy.RetryHostPredicate(
                    name="envoy.retry_host_predicates.previous_hosts", typed_config=packed(PreviousHostsPredicate())
                )
            ],
            host_selection_retry_max_attempts=DRAWS,
        ),
    )


def trusted(host: VirtualHost, token: Secret[str]) -> VirtualHost:
    """Returns the host, its requests showing the edge's token; without a token as it is."""
    if token.reveal():
        host.request_headers_to_add.append(header(PROOF_HEADER, token.reveal()))
    return host


def notice(host: str) -> VirtualHost:
    """A host that says why nothing is there."""
    sentence = (
        f"{host} has no running deployment. If it is yours: `lr up` deploys it, `lr deployments` tells what happened.\n"
    )
    return VirtualHost(
        name=host,
        domains=[host],
        routes=[
            Route(
                match=RouteMatch(prefix="/"),
                direct_response=DirectResponseAction(status=UNAVAILABLE, body=DataSource(inline_string=sentence)),
                response_headers_to_add=[
                    header("content-type", "text/plain; charset=utf-8"),
                    header("cache-control", "no-store"),
                ],
            )
        ],
    )

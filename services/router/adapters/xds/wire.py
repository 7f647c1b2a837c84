"""Small pieces of Envoy's messages that every kind of resource needs."""

from __future__ import annotations

import ipaddress
from datetime import timedelta

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import UInt32Value

from libs.protogen.envoy.config.core.v3.address_pb2 import Address, SocketAddress
from libs.protogen.envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from libs.protogen.envoy.config.core.v3.config_source_pb2 import V3, AggregatedConfigSource, ConfigSource
from services.router.domain.world import Spot


def packed(message: Message) -> Any:
    """Wraps a message, the same bytes every time."""
    wrapped = Any()
    wrapped.Pack(message, deterministic=True)
    return wrapped


def span(length: timedelta) -> Duration:
    """A length of time."""
    duration = Duration()
    duration.FromTimedelta(length)
    return duration


def uint(value: int) -> UInt32Value:
    """A number that is told even when it is zero."""
    return UInt32Value(value=value)


def header(key: str, value: str) -> HeaderValueOption:
    """A header that replaces what was there under its name."""
    return HeaderValueOption(
        header=HeaderValue(key=key, value=value), append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
    )


def address(spot: Spot) -> Address:
    """A place to listen or to connect to."""
    return Address(socket_address=SocketAddress(address=spot.address, port_value=spot.port))


def over_ads(within: timedelta = timedelta()) -> ConfigSource:
    """Where to get it: on the stream that is there. Zero: waiting as long as it takes."""
    return ConfigSource(ads=AggregatedConfigSource(), initial_fetch_timeout=span(within), resource_api_version=V3)


def is_address(text: str) -> bool:
    """Whether it is an IP address, and not a name to look up."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

"""The router's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from libs.config import setting
from libs.kernel.errors import Invalid
from services.router.domain.names import base_domain
from services.router.domain.world import Spot


def spot(text: str) -> Spot:
    """Reads host:port. Invalid when it is not that."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise Invalid(f"“{text}” is not of the form host:port")
    return Spot(host.strip("[]"), int(port))


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once, by main."""

    home: Path = setting("LIGHTRAIL_HOME", doc="the platform's data folder")
    ads_address: str = setting("LIGHTRAIL_ADS_ADDRESS", doc="host:port where Envoy asks what to serve")
    envoy_admin: Spot = setting("LIGHTRAIL_ENVOY_ADMIN_ADDRESS", doc="host:port of Envoy's admin page", parse=spot)
    gateway: Spot = setting(
        "LIGHTRAIL_GATEWAY_HTTP_ADDRESS", doc="host:port of what answers on every host that is no app's", parse=spot
    )
    edge_address: str = setting("LIGHTRAIL_EDGE_ADDRESS", default="127.0.0.1", doc="address the edge listens on")
    edge_port: int = setting("LIGHTRAIL_EDGE_PORT", default=8080, doc="port the edge listens on")
    base_domain: str = setting(
        "LIGHTRAIL_BASE_DOMAIN", default="localhost", doc="what host names of apps end with", parse=base_domain
    )

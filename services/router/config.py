"""The router's settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from libs.config import setting
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from services.router.domain.names import base_domain
from services.router.domain.world import Spot


def spot(text: str) -> Spot:
    """Reads host:port. Invalid when it is not that."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise Invalid(f"“{text}” is not of the form host:port")
    return Spot(host.strip("[]"), int(port))


def place(text: str) -> str:
    """Reads host:port or unix:/path. Invalid when it is neither."""
    if not text.startswith("unix:/"):
        spot(text)
    return text


def token(file: str) -> Secret[str]:
    """Reads a token from its file. Invalid when that cannot be read."""
    try:
        return Secret(Path(file).read_text().strip())
    except OSError as error:
        raise Invalid(f"the file {file} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once, by main."""

    home: Path = setting("LIGHTRAIL_HOME", doc="the platform's data folder")
    ads_address: str = setting(
        "LIGHTRAIL_ADS_ADDRESS", doc="host:port or unix:/path where Envoy asks what to serve", parse=place
    )
    envoy_admin: str = setting(
        "LIGHTRAIL_ENVOY_ADMIN_ADDRESS", doc="host:port or unix:/path of Envoy's admin page", parse=place
    )
    edge_token: Secret[str] = setting(
        "LIGHTRAIL_EDGE_TOKEN_FILE",
        default=Secret(""),
        doc="file of the token that the edge shows the gateway; without it, nothing is shown",
        parse=token,
    )
    gateway: Spot = setting(
        "LIGHTRAIL_GATEWAY_HTTP_ADDRESS", doc="host:port of what answers on every host that is no app's", parse=spot
    )
    edge_address: str = setting("LIGHTRAIL_EDGE_ADDRESS", default="127.0.0.1", doc="address the edge listens on")
    edge_port: int = setting("LIGHTRAIL_EDGE_PORT", default=8080, doc="port the edge listens on")
    base_domain: str = setting(
        "LIGHTRAIL_BASE_DOMAIN", default="localhost", doc="what host names of apps end with", parse=base_domain
    )

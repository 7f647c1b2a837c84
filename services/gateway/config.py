"""The gateway's settings; read only by main."""

from __future__ import annotations

from dataclasses import dataclass

from libs.config import setting
from libs.kernel.units import MIB, parse_bytes


@dataclass(frozen=True, slots=True)
class Settings:
    """Frozen when the module opens."""

    http_address: str = setting(
        "LIGHTRAIL_GATEWAY_HTTP_ADDRESS",
        default="127.0.0.1:0",
        doc="host:port where the edge reaches the API; port 0 takes a free one",
    )
    edge_port: int = setting("LIGHTRAIL_EDGE_PORT", default=8080, doc="port of the edge, for the URLs shown")
    snapshot_limit: int = setting(
        "LIGHTRAIL_SNAPSHOT_LIMIT",
        default=512 * MIB,
        parse=parse_bytes,
        doc="largest source upload, as in 512MiB",
    )

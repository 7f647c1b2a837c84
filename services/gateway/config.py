"""The gateway's settings; read only by main."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from libs.config import setting
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from libs.kernel.units import MIB, parse_bytes


def token(file: str) -> Secret[str]:
    """Reads a token from its file. Invalid when that cannot be read."""
    try:
        return Secret(Path(file).read_text().strip())
    except OSError as error:
        raise Invalid(f"the file {file} cannot be read: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class Settings:
    """Frozen when the module opens."""

    http_address: str = setting(
        "LIGHTRAIL_GATEWAY_HTTP_ADDRESS",
        default="127.0.0.1:0",
        doc="host:port where the edge reaches the API; port 0 takes a free one",
    )
    edge_token: Secret[str] = setting(
        "LIGHTRAIL_EDGE_TOKEN_FILE",
        default=Secret(""),
        doc="file of the token by which the edge is known; without it, nobody is believed where a request came from",
        parse=token,
    )
    edge_port: int = setting("LIGHTRAIL_EDGE_PORT", default=8080, doc="port of the edge, for the URLs shown")
    snapshot_limit: int = setting(
        "LIGHTRAIL_SNAPSHOT_LIMIT",
        default=512 * MIB,
        parse=parse_bytes,
        doc="largest source upload, as in 512MiB",
    )

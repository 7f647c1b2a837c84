"""What the supervisor and the `platform` verbs read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.config import load, setting
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret

SERVICES: Final = ("auth", "project", "build", "deploy", "router", "metering", "gateway")
TOPOLOGIES: Final = ("all", "split")
_HIGHEST_PORT: Final = 65535


def parse_topology(text: str) -> str:
    """Returns a topology's name. Invalid when there is no such one."""
    if text not in TOPOLOGIES:
        raise Invalid(f"“{text}” is neither of: {', '.join(TOPOLOGIES)}")
    return text


def _port(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _HIGHEST_PORT:
        raise Invalid(f"“{text}” is no port")
    return int(text)


def _home(text: str) -> Path:
    if not text:
        raise Invalid("it is empty")
    return Path(text).expanduser().absolute()


def _envoy(text: str) -> bool:
    if text not in {"embedded", "external"}:
        raise Invalid(f"“{text}” is neither embedded nor external")
    return text == "external"


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise Invalid(f"“{text}” is no number of 1 or more")
    return int(text)


@dataclass(frozen=True, slots=True)
class Settings:
    """One platform: where its data is, what its edge listens on, which parts come from outside."""

    home: Path = setting(
        "LIGHTRAIL_HOME",
        default=Path("~/.local/share/lightrail").expanduser(),
        parse=_home,
        doc="the directory of one platform's data",
    )
    port: int = setting("LIGHTRAIL_PORT", default=8080, parse=_port, doc="the port of the edge")
    edge_address: str = setting("LIGHTRAIL_EDGE_ADDRESS", default="127.0.0.1", doc="the address the edge listens on")
    base_domain: str = setting("LIGHTRAIL_BASE_DOMAIN", default="localhost", doc="what names of applications end in")
    topology: str = setting(
        "LIGHTRAIL_TOPOLOGY", default="all", parse=parse_topology, doc="all services in one process, or split"
    )
    database_url: Secret[str] | None = setting(
        "LIGHTRAIL_DATABASE_URL",
        default=None,
        parse=Secret,
        doc="a PostgreSQL to use instead of the embedded one, by an account that may make roles",
    )
    nats_url: Secret[str] | None = setting(
        "LIGHTRAIL_NATS_URL", default=None, parse=Secret, doc="a NATS to use instead of the embedded one"
    )
    envoy_external: bool = setting(
        "LIGHTRAIL_ENVOY", default=False, parse=_envoy, doc="embedded, or external: started by someone else"
    )
    envoy_concurrency: int = setting(
        "LIGHTRAIL_ENVOY_CONCURRENCY", default=1, parse=_count, doc="Envoy's worker threads"
    )

    @property
    def url(self) -> str:
        """Where a person on this machine finds the dashboard and the API."""
        return f"http://localhost:{self.port}"


def read(environ: Mapping[str, str]) -> Settings:
    """Returns the settings; Invalid names every variable that is wrong. An empty variable is one not set."""
    return load(Settings, {name: value for name, value in environ.items() if value})

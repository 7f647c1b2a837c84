"""Envoy from the wheel: told everything by the router over ADS, its admin page on a socket closed to others."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.embedded import account, binaries, doors, files, ports, probe
from libs.embedded.account import Account
from libs.embedded.part import Spec, launch

CLUSTER = "edge"
_MAX_CONNECTIONS = 50_000


@dataclass(frozen=True, slots=True)
class Edge:
    """One Envoy. `edge_port` is where the router's listener will be; Envoy itself learns it over ADS.

    Addresses are host:port or unix:/path.
    """

    room: Path
    node: str
    ads_address: str
    admin_address: str
    edge_port: int
    log: Path
    concurrency: int = 1
    die_with_starter: bool = False

    def prepare(self) -> None:
        """Writes the bootstrap and makes the directory of its sockets. Blocking."""
        files.make_room(self.room, mode=0o711)
        if self._doors:
            doors.make_room(self._doors)
        files.write_private(self._bootstrap_file, self._bootstrap(), mode=0o644)

    def spec(self) -> Spec:
        """How to run it; `prepare` comes first."""
        program = binaries.envoy()
        options = ["--concurrency", str(self.concurrency), "--disable-hot-restart", "--log-level", "warning"]
        return Spec(
            name="envoy",
            argv=(str(program), "--config-path", str(self._bootstrap_file), *options),
            env={"TZ": "UTC"},
            log=self.log,
            port=self.edge_port,
            # Any answer: whether it has listeners is for the router, which may start after it.
            ready=lambda: probe.http_status_at(self.admin_address, "/ready") != 0,
            account=self._account(),
            reach=(program.parent, self.room, *self._apart()),
            configuration=self._bootstrap(),
            die_with_starter=self.die_with_starter,
        )

    @property
    def _bootstrap_file(self) -> Path:
        return self.room / "bootstrap.json"

    @property
    def _doors(self) -> Path | None:
        path = doors.unix_path(self.admin_address)
        return path.parent if path else None

    def _apart(self) -> tuple[Path, ...]:
        """The directory of its sockets when it is not in the room."""
        return (self._doors,) if self._doors and not self._doors.is_relative_to(self.room) else ()

    def _account(self) -> Account | None:
        unprivileged = account.unprivileged()
        low = self.edge_port < ports.first_unprivileged()
        return None if low else unprivileged

    def _bootstrap(self) -> str:
        ads: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
        return json.dumps(
            {
                "node": {"id": self.node, "cluster": CLUSTER},
                "admin": {"address": _address(self.admin_address)},
                "dynamic_resources": {"ads_config": _ADS, "lds_config": ads, "cds_config": ads},
                "static_resources": {"clusters": [_xds_cluster(self.ads_address)]},
                "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _STATS}}},
                "overload_manager": _OVERLOAD,
                # With no layer at all, Envoy adds one that its admin page may write.
                "layered_runtime": {"layers": [{"name": "fixed", "static_layer": {}}]},
            },
            indent=1,
        )


# Back again within a second when the router restarts, rather than Envoy's half a minute.
_ADS = {
    "api_type": "DELTA_GRPC",
    "transport_api_version": "V3",
    "set_node_on_first_message_only": True,
    "grpc_services": [
        {
            "envoy_grpc": {
                "cluster_name": "xds",
                "retry_policy": {"retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"}},
            },
        },
    ],
}
# Each statistic kept costs memory for every app; these are what the router and metering read.
_STATS = [
    {"prefix": "http.edge"},
    {"prefix": "cluster."},
    {"prefix": "listener_manager."},
    {"prefix": "cluster_manager."},
    {"prefix": "control_plane."},
    {"prefix": "server."},
]
_OVERLOAD = {
    "refresh_interval": "1s",
    "resource_monitors": [
        {
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/"
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": _MAX_CONNECTIONS,
            },
        },
    ],
}


def _address(address: str) -> dict[str, Any]:
    path = doors.unix_path(address)
    if path:
        return {"pipe": {"path": str(path), "mode": 0o600}}
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host, "port_value": int(port)}}


def _xds_cluster(address: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(address)}}
    is_fixed = doors.unix_path(address) or address.rpartition(":")[0].replace(".", "").isdigit()
    return {
        "name": "xds",
        "type": "STATIC" if is_fixed else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {
                    "http2_protocol_options": {"connection_keepalive": {"interval": "30s", "timeout": "10s"}},
                },
            },
        },
    }


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """An Envoy that is up and asks `ads_address` what to do."""

    admin_address: str
    edge_port: int
    node: str
    process: subprocess.Popen[bytes]


@asynccontextmanager
async def running(
    room: Path, ads_address: str, edge_port: int = 0, *, node: str = "edge-test"
) -> AsyncIterator[RunningEnvoy]:
    """Runs an Envoy asking `ads_address`; stops it at the end. It dies with the process that runs it.

    `edge_port`, 0: any free one, is only handed back: the listener on it comes from the ADS server.
    """
    from libs.embedded import trial  # noqa: PLC0415 - it loads asyncio, which the supervisor must not carry

    closed = doors.choose(room / "doors", room / "doors.path", os.environ)
    edge = Edge(
        room=room,
        node=node,
        ads_address=ads_address,
        admin_address=f"{doors.UNIX}{closed / doors.ADMIN}",
        edge_port=edge_port or ports.free_port(),
        log=room / "envoy.log",
        die_with_starter=True,
    )
    edge.prepare()
    async with trial.running(edge.spec(), launch) as process:
        yield RunningEnvoy(edge.admin_address, edge.edge_port, node, process)

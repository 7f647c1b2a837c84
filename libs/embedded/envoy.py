"""Envoy from the wheel: told everything by the router over ADS, its admin page on loopback only."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.embedded import account, binaries, files, ports, probe
from libs.embedded.account import Account
from libs.embedded.part import Spec, launch

CLUSTER = "edge"
_MAX_CONNECTIONS = 50_000


@dataclass(frozen=True, slots=True)
class Edge:
    """One Envoy. `edge_port` is where the router's listener will be; Envoy itself learns it over ADS."""

    room: Path
    node: str
    ads_address: str
    admin_port: int
    edge_port: int
    log: Path
    concurrency: int = 1
    die_with_starter: bool = False

    def prepare(self) -> None:
        """Writes the bootstrap. Blocking."""
        files.make_room(self.room, mode=0o711)
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
            ready=lambda: probe.http_status(ports.LOOPBACK, self.admin_port, "/ready") != 0,
            account=self._account(),
            reach=(program.parent, self.room),
            configuration=self._bootstrap(),
            die_with_starter=self.die_with_starter,
        )

    @property
    def _bootstrap_file(self) -> Path:
        return self.room / "bootstrap.json"

    def _account(self) -> Account | None:
        unprivileged = account.unprivileged()
        low = self.edge_port < ports.first_unprivileged()
        return None if low else unprivileged

    def _bootstrap(self) -> str:
        host, _, port = self.ads_address.rpartition(":")
        ads: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
        return json.dumps(
            {
                "node": {"id": self.node, "cluster": CLUSTER},
                "admin": {"address": _address(ports.LOOPBACK, self.admin_port)},
                "dynamic_resources": {"ads_config": _ADS, "lds_config": ads, "cds_config": ads},
                "static_resources": {"clusters": [_xds_cluster(host, int(port))]},
                "stats_config": {"stats_matcher": {"inclusion_list": {"patterns": _STATS}}},
                "overload_manager": _OVERLOAD,
                "layered_runtime": {"layers": [{"name": "admin", "admin_layer": {}}]},
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


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _xds_cluster(host: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(host, port)}}
    return {
        "name": "xds",
        "type": "STATIC" if host.replace(".", "").isdigit() else "STRICT_DNS",
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

    edge = Edge(
        room=room,
        node=node,
        ads_address=ads_address,
        admin_port=ports.free_port(),
        edge_port=edge_port or ports.free_port(),
        log=room / "envoy.log",
        die_with_starter=True,
    )
    edge.prepare()
    async with trial.running(edge.spec(), launch) as process:
        yield RunningEnvoy(f"{ports.LOOPBACK}:{edge.admin_port}", edge.edge_port, node, process)

"""Envoy's own counters, read from its admin page."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import httpx2

from libs.kernel.errors import Unavailable
from services.router.adapters.xds import app_key, cluster_name
from services.router.app.ports import Sample, Traffic
from services.router.domain.world import Key, Spot

TIMEOUT_SECONDS: Final = 3.0
_RECEIVED: Final = "upstream_cx_rx_bytes_total"
_REQUESTS: Final = "upstream_rq_total"
_COUNTERS: Final = rf"^cluster\.app/.*\.({_RECEIVED}|{_REQUESTS})$"
_UNDER_WAY: Final = {"rq_active", "rq_pending_active"}
# No resource has an empty name, so that only the time of the bootstrap is left of the dump.
_START_ONLY: Final = {"name_regex": "^$", "mask": "last_updated"}


def connection(address: str) -> httpx2.AsyncClient:
    """Returns a client of the admin page at `address`, host:port or unix:/path."""
    path = address.removeprefix("unix:")
    if path == address:
        return httpx2.AsyncClient(base_url=f"http://{address}", timeout=TIMEOUT_SECONDS, trust_env=False)
    door = httpx2.AsyncHTTPTransport(uds=path)
    return httpx2.AsyncClient(transport=door, base_url="http://edge", timeout=TIMEOUT_SECONDS, trust_env=False)


class EnvoyAdmin:
    """Asks one Envoy. Its numbers start at zero with it."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self._client = client

    async def in_flight(self, key: Key) -> Mapping[Spot, int]:
        """Requests under way at each endpoint of the app, those that drain included."""
        pattern = f"^{re.escape(cluster_name(key))}$"
        answer = await self._get("/clusters", {"format": "json", "filter": pattern})
        found: dict[Spot, int] = {}
        for cluster in answer.get("cluster_statuses", ()):
            for host in cluster.get("host_statuses", ()):
                place = host["address"]["socket_address"]
                # Those that wait for their connection count too. A zero is left out.
                active = [stat.get("value", 0) for stat in host["stats"] if stat["name"] in _UNDER_WAY]
                found[Spot(place["address"], int(place["port_value"]))] = sum(map(int, active))
        return found

    async def traffic(self) -> Traffic:
        """What each app sent through the edge. Asked again when Envoy was replaced between two questions."""
        while True:
            epoch = await self._epoch()
            answer = await self._get("/stats", {"format": "json", "filter": _COUNTERS})
            if epoch == await self._epoch():
                return Traffic(epoch, _samples(answer))

    async def _epoch(self) -> str:
        """When this Envoy was started: tells its run from the next."""
        dump = await self._get("/config_dump", _START_ONLY)
        for part in dump.get("configs", ()):
            if part.get("@type", "").endswith("BootstrapConfigDump"):
                return str(part["last_updated"])
        raise Unavailable("The edge does not say when it was started.")

    async def _get(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        try:
            response = await self._client.get(path, params=dict(parameters))
            response.raise_for_status()
            return dict(response.json())
        except (httpx2.HTTPError, ValueError) as error:
            raise Unavailable(f"The edge does not tell its numbers: {error}", hint="Ask again in a moment.") from error


def _samples(answer: Mapping[str, Any]) -> tuple[Sample, ...]:
    counters: dict[Key, dict[str, int]] = defaultdict(dict)
    for stat in answer.get("stats", ()):
        cluster, _, counter = str(stat["name"]).removeprefix("cluster.").rpartition(".")
        key = app_key(cluster)
        if key is not None:
            counters[key][counter] = int(stat["value"])
    return tuple(
        Sample(key, found.get(_RECEIVED, 0), found.get(_REQUESTS, 0)) for key, found in sorted(counters.items())
    )

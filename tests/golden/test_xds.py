"""A folder is a case: a world on one side, everything Envoy is told of it on the other.

`python -m pytest tests/golden --golden-update` writes what is told today and prunes what no case asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from libs.protogen.envoy.config.cluster.v3.cluster_pb2 import Cluster
from libs.protogen.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from libs.protogen.envoy.config.listener.v3.listener_pb2 import Listener
from libs.protogen.envoy.config.route.v3.route_pb2 import RouteConfiguration
from services.router.adapters.xds import Shape, Translator, route_table
from services.router.config import spot
from services.router.domain.resources import Resource
from services.router.domain.world import App, Endpoint, Key, World

CASES = Path(__file__).parent / "cases" / "xds"
LEFT_AT = datetime(2026, 1, 1, tzinfo=UTC)


def read_app(document: Mapping[str, Any]) -> App:
    key = Key(document["service"], document["environment"])
    if "endpoints" not in document:
        return App(key, document.get("host", ""))
    endpoints = [
        Endpoint(one["instance"], one["address"], one["port"], LEFT_AT if one.get("draining") else None)
        for one in document["endpoints"]
    ]
    return App(key, document.get("host", ""), tuple(endpoints))


def readable(kind: type[Message], resources: Mapping[str, Resource]) -> dict[str, Any]:
    return {name: in_order(MessageToDict(kind.FromString(found.body))) for name, found in sorted(resources.items())}


def in_order(found: Any) -> Any:
    """The same JSON; what was a map, which has no order, sorted."""
    if isinstance(found, list):
        return [in_order(one) for one in found]
    if not isinstance(found, dict):
        return found
    return {
        key: dict(sorted(value.items())) if key == "jsonFormat" else in_order(value) for key, value in found.items()
    }


def told(document: Mapping[str, Any]) -> str:
    """Everything an edge is told of a world, as JSON."""
    translator = Translator(Shape(edge=spot(document["edge"]), gateway=spot(document["gateway"])))
    snapshot = translator.snapshot(World(1, tuple(read_app(app) for app in document["apps"])))
    table = route_table({name: site.ready for name, site in snapshot.sites.items()})
    everything = {
        "clusters": readable(Cluster, snapshot.clusters),
        "endpoints": readable(ClusterLoadAssignment, snapshot.endpoints),
        "listeners": readable(Listener, snapshot.listeners),
        "routes": MessageToDict(RouteConfiguration.FromString(table)),
    }
    return json.dumps(everything, indent=2, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", sorted(path.name for path in CASES.iterdir()))
def test_a_world_is_told_as_written_beside_it(name: str, request: pytest.FixtureRequest) -> None:
    golden, source = CASES / name / "envoy.json", CASES / name / "world.json"
    if not source.exists() and request.config.getoption("--golden-update", default=False):
        golden.unlink(missing_ok=True)
        golden.parent.rmdir()
        return
    answer = told(json.loads(source.read_text(encoding="utf-8")))
    if request.config.getoption("--golden-update", default=False):
        golden.write_text(answer, encoding="utf-8")
    assert golden.exists(), f"{name}: envoy.json is missing; run with --golden-update and read what it says"
    assert golden.read_text(encoding="utf-8") == answer


def test_the_parts_of_a_route_table_joined_are_the_table() -> None:
    translator = Translator(Shape(edge=spot("127.0.0.1:8080"), gateway=spot("127.0.0.1:9000")))
    apps = tuple(App(Key(f"svc_{n}", "env_a"), f"app-{n}.localhost") for n in range(50))
    sites = translator.snapshot(World(1, apps)).sites
    table = RouteConfiguration.FromString(route_table({name: site.ready for name, site in sites.items()}))
    assert sorted(host.domains[0] for host in table.virtual_hosts) == sorted(sites)
    assert table.ignore_port_in_host_matching

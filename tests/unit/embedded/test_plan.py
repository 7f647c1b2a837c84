from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from libs.embedded import database, doors, files
from libs.embedded.envoy import Edge
from libs.embedded.home import Home
from libs.embedded.plan import Plan
from libs.embedded.settings import SERVICES, Settings, read
from libs.kernel.errors import Invalid, Unavailable
from libs.kernel.secret import Secret


def planned(home: Path, **variables: str) -> Plan:
    settings = read({"LIGHTRAIL_HOME": str(home), **variables})
    chosen = {name: 1000 + number for number, name in enumerate(Plan.ports(settings))}
    return Plan(settings, chosen, {"PATH": "/bin", "LIGHTRAIL_TOKEN": "mine", **variables})


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.prepare()
    files.write_private(made.database_passwords, json.dumps(dict.fromkeys(SERVICES, "secret")))
    for name in ("postgres", "nats"):
        files.write_private(made.keys / f"{name}.password", "generated")
    return made


def test_services_get_their_own_role_and_never_the_superuser(home: Home) -> None:
    admin = "postgresql://root:toor@db.example:5433/postgres?sslmode=require"
    environment = planned(home.path, LIGHTRAIL_DATABASE_URL=admin).services_environment("services")
    wanted = "postgresql://lightrail_auth:secret@db.example:5433/lightrail?sslmode=require"
    assert environment["LIGHTRAIL_AUTH_DATABASE_URL"] == wanted
    assert not any("toor" in value for value in environment.values())
    assert "LIGHTRAIL_DATABASE_URL" not in environment
    assert "LIGHTRAIL_TOKEN" not in environment


def test_a_process_is_given_the_passwords_of_its_own_services_only(home: Home) -> None:
    others = {"LIGHTRAIL_AUTH_DATABASE_URL": "postgresql://left:over@elsewhere/x"}
    split = planned(home.path, LIGHTRAIL_TOPOLOGY="split", **others)
    for service in SERVICES:
        urls = [name for name in split.services_environment(service) if name.endswith("DATABASE_URL")]
        assert urls == [f"LIGHTRAIL_{service.upper()}_DATABASE_URL"]
    assert "left" not in split.services_environment("auth")["LIGHTRAIL_AUTH_DATABASE_URL"]


def test_the_edge_and_the_router_meet_in_a_directory_closed_to_applications(home: Home) -> None:
    environment = planned(home.path).services_environment("services")
    room = home.envoy / "doors"
    assert environment["LIGHTRAIL_ADS_ADDRESS"] == f"unix:{room}/ads.sock"
    assert environment["LIGHTRAIL_ENVOY_ADMIN_ADDRESS"] == f"unix:{room}/admin.sock"
    [edge] = [node for node in planned(home.path).nodes() if node.name == "envoy"]
    edge.prepare()
    assert room.stat().st_mode & 0o777 == 0o700
    assert not {"ads", "envoy-admin"} & {*Plan.ports(read({}))}


def test_someone_elses_envoy_is_met_on_a_port(home: Home) -> None:
    environment = planned(home.path, LIGHTRAIL_ENVOY="external").services_environment("services")
    assert environment["LIGHTRAIL_ADS_ADDRESS"].startswith("127.0.0.1:")
    theirs = {"LIGHTRAIL_ADS_ADDRESS": "10.0.0.1:1", "LIGHTRAIL_ENVOY_ADMIN_ADDRESS": "10.0.0.2:2"}
    environment = planned(home.path, LIGHTRAIL_ENVOY="external", **theirs).services_environment("services")
    assert {name: environment[name] for name in theirs} == theirs


def test_a_long_home_has_its_sockets_in_a_short_directory_that_it_remembers(tmp_path: Path) -> None:
    far, memory, runtime = tmp_path / ("x" * 100), tmp_path / "state" / "doors", {"XDG_RUNTIME_DIR": str(tmp_path)}
    chosen = doors.choose(far, memory, runtime)
    assert len(str(chosen / doors.ADMIN)) <= doors.LONGEST
    assert doors.choose(far, memory, runtime) == chosen
    assert doors.choose(far, tmp_path / "other", runtime) != chosen
    assert not chosen.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other users")
def test_a_directory_of_another_user_is_not_used_for_sockets(tmp_path: Path) -> None:
    room = tmp_path / "doors"
    room.mkdir()
    os.chown(room, 4711, 4711)
    with pytest.raises(Unavailable, match="belongs to another user"):
        doors.make_room(room)


def test_services_get_every_variable_of_the_contract(home: Home) -> None:
    environment = planned(home.path, LIGHTRAIL_PORT="9000").services_environment("services")
    each = [f"LIGHTRAIL_{service.upper()}_{kind}" for service in SERVICES for kind in ("ADDRESS", "DATABASE_URL")]
    rest = [
        "HOME", "NATS_URL", "IDENTITY_KEY_FILE", "SECRETS_KEY_FILE", "SETUP_TOKEN_FILE", "ADS_ADDRESS",
        "ENVOY_ADMIN_ADDRESS", "EDGE_PORT", "EDGE_ADDRESS", "BASE_DOMAIN", "GATEWAY_HTTP_ADDRESS", "METRICS_ADDRESS",
        "EDGE_TOKEN_FILE", "PROVENANCE_KEY_FILE", "PROVENANCE_PUBLIC_KEY_FILE",
    ]  # fmt: skip
    assert environment.keys() >= {*each, *(f"LIGHTRAIL_{name}" for name in rest)}
    assert environment["LIGHTRAIL_EDGE_PORT"] == "9000"
    assert environment["LIGHTRAIL_NATS_URL"].startswith("nats://lightrail:generated@127.0.0.1:")


def test_what_signs_provenance_is_known_where_it_is_built_alone(home: Home) -> None:
    plan = planned(home.path, LIGHTRAIL_TOPOLOGY="split")
    knowing = [name for name in SERVICES if "LIGHTRAIL_PROVENANCE_KEY_FILE" in plan.services_environment(name)]
    assert knowing == ["build"]
    assert plan.services_environment("deploy")["LIGHTRAIL_PROVENANCE_PUBLIC_KEY_FILE"].endswith("provenance.pub")


def test_parts_from_outside_are_not_run(home: Home) -> None:
    urls = {"LIGHTRAIL_DATABASE_URL": "postgresql://a:b@c/d", "LIGHTRAIL_NATS_URL": "nats://e"}
    plan = planned(home.path, **urls, LIGHTRAIL_ENVOY="external")
    assert plan.external() == ["postgres", "nats", "envoy"]
    assert [node.name for node in plan.nodes()] == ["provision", "services"]
    assert plan.services_environment("services")["LIGHTRAIL_NATS_URL"] == "nats://e"


@pytest.mark.parametrize(("topology", "processes"), [("all", ["services"]), ("split", list(SERVICES))])
def test_a_topology_is_a_number_of_processes(home: Home, topology: str, processes: list[str]) -> None:
    nodes = planned(home.path, LIGHTRAIL_TOPOLOGY=topology).nodes()
    assert [node.name for node in nodes] == ["nats", "envoy", "postgres", "provision", *processes, "standby"]
    assert [service for node in nodes for service in node.services] == list(SERVICES)


@pytest.mark.parametrize(("topology", "router"), [("all", "services"), ("split", "router")])
def test_the_standby_knows_the_edge_and_neither_database_nor_bus(home: Home, topology: str, router: str) -> None:
    nodes = {node.name: node for node in planned(home.path, LIGHTRAIL_TOPOLOGY=topology).nodes()}
    standby = nodes["standby"]
    assert (standby.stands_in_for, standby.needs) == (router, ("envoy",))
    env, routers = standby.spec().env, nodes[router].spec().env
    assert standby.spec().argv[-1] == "--standby=router"
    shared = ("LIGHTRAIL_HOME", "LIGHTRAIL_ADS_ADDRESS", "LIGHTRAIL_EDGE_PORT", "LIGHTRAIL_EDGE_TOKEN_FILE")
    assert [env[name] for name in shared] == [routers[name] for name in shared]
    assert not [name for name in env if "DATABASE" in name or "NATS" in name]


def test_services_stop_before_the_edge_the_edge_before_the_bus_and_the_database_last(home: Home) -> None:
    stops = {node.name: node.stops for node in planned(home.path).nodes()}
    assert stops["services"] < stops["envoy"] < stops["nats"] < stops["postgres"]


@pytest.mark.parametrize(
    ("url", "name"),
    [("postgresql://h", "lightrail"), ("postgresql://h/postgres", "lightrail"), ("postgresql://h/shop", "shop")],
)
def test_a_database_is_named_by_its_url_unless_that_names_the_server(url: str, name: str) -> None:
    assert database.database_of(Secret(url)) == name
    assert database.role_of(Secret(url), "auth") == f"{name}_auth"


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(Invalid) as told:
        read({"LIGHTRAIL_PORT": "eighty", "LIGHTRAIL_TOPOLOGY": "mesh", "LIGHTRAIL_ENVOY": "maybe"})
    for name in ("LIGHTRAIL_PORT", "LIGHTRAIL_TOPOLOGY", "LIGHTRAIL_ENVOY"):
        assert name in str(told.value)


def test_an_empty_variable_is_one_not_set() -> None:
    assert read({"LIGHTRAIL_PORT": "", "LIGHTRAIL_DATABASE_URL": ""}) == read({})
    assert isinstance(read({}), Settings)


def test_envoy_asks_for_deltas_over_ads_and_shows_its_admin_page_where_it_is_told(tmp_path: Path) -> None:
    edge = Edge(tmp_path, "edge-1", "10.0.0.1:5000", admin_address="127.0.0.1:1", edge_port=8080, log=tmp_path / "log")
    edge.prepare()
    written = json.loads((tmp_path / "bootstrap.json").read_text())
    assert written["dynamic_resources"]["ads_config"]["api_type"] == "DELTA_GRPC"
    assert written["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 1}
    assert "admin_layer" not in json.dumps(written["layered_runtime"])
    assert written["node"] == {"id": "edge-1", "cluster": "edge"}
    assert edge.spec().fingerprint == edge.spec().fingerprint
    other = Edge(tmp_path, "edge-1", "10.0.0.1:5001", admin_address="127.0.0.1:1", edge_port=8080, log=tmp_path / "log")
    assert other.spec().fingerprint != edge.spec().fingerprint

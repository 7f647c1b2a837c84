"""The house has these rooms and no others."""

from __future__ import annotations

import ast

from tests.arch.tree import LIBS, SERVICES, files, folders, name, services, sources

ROOMS = {"domain", "app", "store", "rpc", "http", "events", "loops", "adapters"}
MODULES_OF_A_SERVICE = {"__init__.py", "main.py", "config.py", *(f"{room}.py" for room in ROOMS)}
LIBRARIES = {
    "kernel", "config", "telemetry", "db", "bus", "rpc", "facts", "reconcile", "sandbox", "blobs", "plans", "keyring",
    "attest", "scan", "git", "outbound", "stacks", "embedded", "runtime", "sdk", "cli", "testing", "protogen",
}  # fmt: skip
PARTS = ["auth", "build", "deploy", "gateway", "metering", "project", "router"]
JUNK_DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "shared"}
LONGEST_FILE = 400


def test_the_services_are_those_of_the_design() -> None:
    assert services() == PARTS


def test_the_libraries_are_those_of_the_design() -> None:
    assert set(folders(LIBS)) == LIBRARIES


def test_services_and_libs_hold_no_loose_modules() -> None:
    loose = [
        name(path)
        for room in (SERVICES, LIBS)
        for path in files(room)
        if path.parent == room and path.name != "__init__.py"
    ]
    assert loose == []


def test_a_service_has_no_room_the_design_does_not_know() -> None:
    strange = [
        f"services/{service}/{entry.name}"
        for service in services()
        for entry in (SERVICES / service).iterdir()
        if (entry.name != "__pycache__" and (entry.is_dir() and entry.name not in ROOMS))
        or (entry.is_file() and entry.name not in MODULES_OF_A_SERVICE)
    ]
    assert strange == []


def test_only_the_gateway_has_an_http_room_and_it_has_no_rpc_room() -> None:
    with_http = [service for service in services() if "http" in folders(SERVICES / service)]
    assert with_http == ["gateway"]


def test_every_service_has_a_card_and_a_module() -> None:
    for service in services():
        card = ast.get_docstring(ast.parse((SERVICES / service / "__init__.py").read_text(encoding="utf-8"))) or ""
        for word in ("owns", "offers", "publishes", "listens"):
            assert word in card.lower(), (
                f"services/{service}/__init__.py: the card does not say what the service {word}"
            )
        assert "\nMODULE" in (SERVICES / service / "main.py").read_text(encoding="utf-8"), service


def test_there_are_no_junk_drawers() -> None:
    drawers = [
        name(path)
        for path in sources()
        if path.stem in JUNK_DRAWERS or JUNK_DRAWERS & {parent.name for parent in path.parents}
    ]
    assert drawers == []


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    lengths = {name(path): path.read_text(encoding="utf-8").count("\n") for path in sources()}
    assert {path: length for path, length in lengths.items() if length > LONGEST_FILE} == {}


def test_every_module_says_what_it_is() -> None:
    silent = [
        name(path)
        for room in (SERVICES, LIBS)
        for path in sources(room)
        if ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) is None
    ]
    assert silent == []

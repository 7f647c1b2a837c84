"""Which ports the parts of a platform get."""

from __future__ import annotations

import json
from collections.abc import Container
from pathlib import Path

import pytest

from libs.embedded import ports
from libs.embedded.home import Home
from libs.embedded.settings import read
from libs.embedded.supervisor import choose_ports

EDGE = 25_818


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    made = Home(tmp_path)
    made.prepare()

    def lowest(taken: Container[int] = ()) -> int:
        return next(port for port in range(EDGE, EDGE + 100) if port not in taken)

    monkeypatch.setattr(ports, "free_port", lowest)
    monkeypatch.setattr(ports, "is_free", lambda _port: True)
    return made


def test_no_part_gets_the_port_of_the_edge_nor_that_of_another(home: Home) -> None:
    chosen = choose_ports(home, read({"LIGHTRAIL_HOME": str(home.path), "LIGHTRAIL_PORT": str(EDGE)}), {})
    assert EDGE not in chosen.values()
    assert len({*chosen.values()}) == len(chosen) > 5


def test_a_part_makes_way_for_an_edge_that_moves_to_its_port(home: Home) -> None:
    before = choose_ports(home, read({"LIGHTRAIL_HOME": str(home.path), "LIGHTRAIL_PORT": str(EDGE)}), {})
    moved = read({"LIGHTRAIL_HOME": str(home.path), "LIGHTRAIL_PORT": str(before["nats"])})
    after = choose_ports(home, moved, {})
    assert after["nats"] not in before.values()
    assert {name: port for name, port in after.items() if name != "nats"} == {
        name: port for name, port in before.items() if name != "nats"
    }
    assert json.loads((home.state / "ports.json").read_text())["nats"] == after["nats"]

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from libs.embedded import processes, record, status
from libs.embedded.home import Home
from libs.embedded.record import PartRecord, Record
from libs.embedded.settings import read


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.prepare()
    return made


def written(home: Home, **fields: object) -> Record:
    me = processes.find(os.getpid())
    assert me
    made = Record(
        **{
            "phase": "ready", "topology": "all", "url": "http://localhost:1", "pid": me.pid, "start": me.start,
            "ports": {"auth": 5, "gateway": 6, "gateway-http": 7, "metrics-services": 8},
            "parts": (
                PartRecord("nats", "ready", pid=me.pid, start=me.start, port=4),
                PartRecord("envoy", "external"),
                PartRecord("provision", "done"),
                PartRecord("services", "ready", pid=me.pid, start=me.start, services=("auth", "gateway")),
            ),
            **fields,
        }  # type: ignore[arg-type] # an example
    )  # fmt: skip
    record.save(home, made)
    return made


def test_what_is_written_is_read_again(home: Home) -> None:
    made = written(home)
    assert record.load(home) == made
    assert record.running(home) == made


@pytest.mark.parametrize("text", ["", "{", "[]", '{"boot": "x"}'])
def test_a_torn_record_is_as_good_as_none(home: Home, text: str) -> None:
    (home.state / "platform.json").write_text(text)
    assert record.load(home) is None


def test_a_record_from_before_the_machine_started_means_nothing(home: Home) -> None:
    written(home)
    path = home.state / "platform.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boot": "another"}))
    assert record.load(home) is None


def test_a_supervisor_whose_pid_is_another_process_now_is_not_running(home: Home) -> None:
    written(home, start=1)
    assert record.running(home) is None


def test_status_counts_a_shared_process_once_and_lists_each_service(home: Home) -> None:
    written(home)
    now = status.look(read({"LIGHTRAIL_HOME": str(home.path)}))
    assert [part.name for part in now.parts] == ["supervisor", "nats", "envoy", "auth", "gateway"]
    assert now.is_well
    by_name = {part.name: part for part in now.parts}
    assert by_name["auth"].address == "127.0.0.1:5"
    assert by_name["gateway"].http_address == "127.0.0.1:7"
    assert by_name["gateway"].metrics_address == "127.0.0.1:8"
    assert now.memory_bytes == by_name["nats"].memory_bytes > 0


def test_status_of_a_crashed_platform_says_how_to_go_on(home: Home) -> None:
    written(home, start=1)
    now = status.look(read({"LIGHTRAIL_HOME": str(home.path)}))
    assert now.phase == "crashed"
    assert not now.is_well
    assert "lr platform up" in now.message
    assert now.parts[0].state == "stopped"
    assert now.parts[1].state == "running"


def test_a_platform_that_never_ran_is_stopped(tmp_path: Path) -> None:
    now = status.look(read({"LIGHTRAIL_HOME": str(tmp_path / "none")}))
    assert (now.phase, now.parts) == ("stopped", [])
    assert not (tmp_path / "none").exists(), "looking makes nothing"

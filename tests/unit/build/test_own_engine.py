"""What of the platform's own engine can be told without one."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from libs.kernel.errors import Unavailable
from services.build.adapters.images.bridge import Bridge, free_network
from services.build.adapters.images.engine import lost
from services.build.adapters.images.own import forget_outputs, interface, settings
from services.build.adapters.images.records import spare_records
from services.build.adapters.images.registry import LOGINS, lay_logins
from services.build.app.collect import over

NET = ipaddress.IPv4Network


def record(ident: str, used: str | None, **more: Any) -> dict[str, Any]:
    plain = {"ID": ident, "Size": 10, "InUse": False, "Shared": False, "CreatedAt": "2026-01-01T00:00:00.123456789Z"}
    return {**plain, "LastUsedAt": used, **more}


@pytest.mark.parametrize(
    "parent", [{"Parent": "below"}, {"Parents": ["below"]}, {" Parents": ["below"]}], ids=["20", "23", "26"]
)
def test_a_record_goes_only_after_those_that_stand_on_it(parent: dict[str, Any]) -> None:
    found = spare_records(
        [
            record("below", "2026-01-02T00:00:00Z"),
            record("above", "2026-01-05T00:00:00.5Z", **parent),
            record("other", "2026-01-03T00:00:00Z"),
        ]
    )
    assert [one.name for one in over(found, 0)] == ["other", "above", "below"]
    assert [one.name for one in over(found, 15)] == ["other", "above"]


def test_records_of_images_and_of_builds_under_way_are_not_for_the_taking() -> None:
    found = spare_records([record("1", None, Shared=True), record("2", None, InUse=True), record("3", None)])
    assert [(one.name, one.size_bytes) for one in found] == [("3", 10)]
    assert found[0].used_at == datetime(2026, 1, 1, 0, 0, 0, 123456, UTC)


def test_times_of_another_zone_are_the_same_moments() -> None:
    found = spare_records([record("1", "2026-01-02T09:00:00+09:00")])
    assert found[0].used_at - datetime(2026, 1, 2, tzinfo=UTC) == timedelta()


def test_the_builds_network_overlaps_no_other_and_two_platforms_begin_elsewhere() -> None:
    assert free_network([]) == NET("10.213.0.0/24")
    assert free_network([NET("10.213.0.0/23"), NET("192.168.0.0/16")]) == NET("10.213.2.0/24")
    assert free_network([NET("10.213.255.0/24")], start=255) == NET("10.213.0.0/24")
    with pytest.raises(Unavailable, match="all of 10\\.213\\.0\\.0/16 is in use"):
        free_network([NET("10.0.0.0/8")])


def test_names_of_interface_and_chain_are_within_what_the_kernel_takes() -> None:
    bridge = Bridge("0123456789abcdef", {})
    assert len(bridge.name) <= 15
    # A dash and a letter come behind it.
    assert len(bridge.chain) <= 26


@pytest.mark.parametrize(("newest", "spoken"), [("1.41", "1.41"), ("1.51", "1.51"), ("1.60", "1.51"), ("2.0", "1.51")])
def test_the_interface_is_spoken_as_far_as_both_know_it(newest: str, spoken: str) -> None:
    assert interface(newest) == spoken


def test_of_the_machines_own_engine_only_its_ways_to_registries_are_taken_over(tmp_path: Path) -> None:
    file, own = tmp_path / "daemon.json", {"features": {"containerd-snapshotter": False}}
    assert settings(file, ()) == own
    file.write_text("no JSON", encoding="utf-8")
    assert settings(file, ()) == own
    reaching = {"registry-mirrors": ["https://mirror.example"], "dns": ["10.0.0.1"]}
    file.write_text(json.dumps({**reaching, "data-root": "/elsewhere", "hosts": ["tcp://0.0.0.0"]}), encoding="utf-8")
    assert settings(file, ()) == {**reaching, **own}
    file.write_text(json.dumps({"insecure-registries": ["old.lan"]}), encoding="utf-8")
    assert settings(file, ("new.lan",)) == {**own, "insecure-registries": ["old.lan", "new.lan"]}


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("unexpected EOF", True),
        ("ERROR: failed to receive status: rpc error: code = Unavailable desc = error reading from server: EOF", True),
        ("ERROR: failed to solve: Dockerfile:2 unexpected EOF while looking for a quote", False),
    ],
)
def test_an_engine_that_went_away_is_told_from_a_fault_of_the_source(text: str, gone: bool) -> None:  # noqa: FBT001 - a table
    assert lost(text) == gone


def test_outputs_of_steps_are_forgotten_and_the_rest_of_the_history_is_not(tmp_path: Path) -> None:
    forget_outputs(tmp_path)
    place = tmp_path / "buildkit" / "content" / "blobs" / "sha256"
    place.mkdir(parents=True)
    (place / "1").write_bytes(b"\x0a\x07a-secret")
    (place / "2").write_bytes(b'{"a": 1}')
    forget_outputs(tmp_path)
    assert [one.name for one in place.iterdir()] == ["2"]


def test_logins_of_the_operator_stay_and_a_file_that_was_begun_is_ended(tmp_path: Path) -> None:
    folder, plugins = tmp_path / "logins", tmp_path / "cli-plugins"
    folder.mkdir()
    (folder / LOGINS).touch()
    lay_logins(folder, plugins)
    assert (folder / LOGINS).read_text() == "{}\n"
    (folder / LOGINS).write_text('{"auths": {}}')
    plugins.mkdir()
    for _ in range(2):
        lay_logins(folder, plugins)
    assert (folder / LOGINS).read_text() == '{"auths": {}}'
    assert (folder / "cli-plugins").resolve() == plugins

"""The file that remembers, and Envoy's admin page as it answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import httpx2
import pytest

from libs.kernel.errors import Invalid, Unavailable
from services.router.adapters.envoy_admin import EnvoyAdmin
from services.router.adapters.world_file import FORMAT, WorldFile
from services.router.adapters.xds import app_key, cluster_name
from services.router.app.ports import Sample
from services.router.config import spot
from services.router.domain.world import App, Endpoint, Key, Spot, World

A = Key("svc_a", "env_a")
LEFT_AT = datetime(2026, 1, 1, tzinfo=UTC)
WORLD = World(
    7,
    (
        App(
            A, "a.localhost", (Endpoint("i", "127.0.0.1", 1), Endpoint("j", "::1", 2, datetime(2026, 1, 1, tzinfo=UTC)))
        ),
        App(Key("svc_b", "env_a"), "b.localhost"),
        App(Key("svc_c", "env_a"), "", ()),
    ),
)


async def test_a_world_is_recalled_as_it_was_remembered(tmp_path: Path) -> None:
    file = WorldFile(tmp_path / "state" / "world.json")
    assert await file.remember(World(1))
    assert await file.remember(WORLD)
    assert await file.recall() == WORLD
    [path] = (tmp_path / "state").iterdir()
    assert (path.name, path.stat().st_mode & 0o777) == ("world.json", 0o600)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 1, "revision": 1, "apps": []}', "lightrail-world 2 0\n{}"]
)
async def test_a_file_that_cannot_be_read_is_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "world.json"
    assert await WorldFile(path).recall() is None
    path.write_text(content)
    assert await WorldFile(path).recall() is None


async def test_a_file_that_is_torn_or_damaged_anywhere_is_as_none(tmp_path: Path) -> None:
    file = WorldFile(tmp_path / "world.json")
    await file.remember(WORLD)
    whole = (tmp_path / "world.json").read_bytes()
    for place in range(len(whole)):
        (tmp_path / "world.json").write_bytes(whole[:place])
        assert await file.recall() is None, f"torn after {place} bytes"
        (tmp_path / "world.json").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert await file.recall() is None, f"damaged at {place}"
    (tmp_path / "world.json").write_bytes(whole)
    assert await file.recall() == WORLD


async def test_a_file_of_a_later_format_is_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WorldFile(tmp_path / "world.json")
    with monkeypatch.context() as later:
        later.setattr("services.router.adapters.world_file.FORMAT", FORMAT + 1)
        await file.remember(WORLD)
    assert await file.recall() is None


async def test_a_writer_that_dies_before_the_rename_leaves_the_world_before(tmp_path: Path) -> None:
    path = tmp_path / "world.json"
    file = WorldFile(path)
    await file.remember(WORLD)
    # What its successor finds: half of a newer world, and open to others.
    (tmp_path / "world.new").write_bytes(path.read_bytes()[:40])
    (tmp_path / "world.new").chmod(0o644)
    assert await file.recall() == WORLD
    await file.remember(World(8))
    assert await file.recall() == World(8)
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_disk_that_takes_nothing_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    file = WorldFile(tmp_path / "state" / "world.json")
    assert not await file.remember(WORLD)
    assert await file.recall() is None


async def test_a_world_that_is_out_of_date_is_not_left_when_the_next_cannot_be_written(tmp_path: Path) -> None:
    file = WorldFile(tmp_path / "world.json")
    await file.remember(WORLD)
    (tmp_path / "world.new").mkdir()
    assert not await file.remember(World(8))
    assert await file.recall() is None


def test_a_cluster_says_whose_it_is() -> None:
    assert app_key(cluster_name(A)) == A
    assert app_key("gateway") is None
    assert app_key("app/strange") is None


@pytest.mark.parametrize("text", ["", "host", ":80", "host:", "host:http"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="host:port"):
        spot(text)


def test_an_address_is_read() -> None:
    assert spot("[::1]:80") == Spot("::1", 80)


def answering(pages: dict[str, list[str]]) -> EnvoyAdmin:
    """An admin page that gives each path's answers in turn, the last one for ever."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        waiting = pages.get(request.url.path)
        if waiting is None:
            return httpx2.Response(404)
        return httpx2.Response(200, text=waiting.pop(0) if len(waiting) > 1 else waiting[0])

    return EnvoyAdmin(httpx2.AsyncClient(transport=httpx2.MockTransport(answer), base_url="http://edge"))


def started(at: str) -> str:
    return json.dumps({"configs": [{"@type": "x/envoy.admin.v3.BootstrapConfigDump", "last_updated": at}]})


def counted(**counters: int) -> str:
    return json.dumps(
        {"stats": [{"name": f"cluster.app/svc_a/env_a.{name}", "value": n} for name, n in counters.items()]}
    )


async def test_counters_of_two_runs_are_never_mixed() -> None:
    admin = answering(
        {
            "/config_dump": [started("one"), started("two"), started("two")],
            "/stats": [
                counted(upstream_cx_rx_bytes_total=900, upstream_rq_total=9),
                counted(upstream_cx_rx_bytes_total=5, upstream_rq_total=1),
            ],
        }
    )
    traffic = await admin.traffic()
    assert (traffic.epoch, traffic.samples) == ("two", (Sample(A, 5, 1),))


@pytest.mark.parametrize("pages", [{}, {"/config_dump": ["no json"]}, {"/config_dump": ['{"configs": []}']}])
async def test_an_edge_that_tells_nothing_useful_is_unavailable(pages: dict[str, list[str]]) -> None:
    with pytest.raises(Unavailable, match="edge"):
        await answering(pages).traffic()


async def test_a_cluster_the_edge_does_not_have_holds_nothing() -> None:
    assert await answering({"/clusters": ['{"cluster_statuses": []}']}).in_flight(A) == {}

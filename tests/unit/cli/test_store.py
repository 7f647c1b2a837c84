"""What the CLI remembers: private, whole, and apart for each platform."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from libs.cli import session, store, target
from libs.kernel.errors import Conflict, Denied, Invalid, NotFound
from libs.kernel.secret import Secret
from libs.sdk.models import Environment
from libs.testing.clock import VirtualClock

ONE, TWO = "http://one.example", "http://two.example"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LIGHTRAIL_TOKEN", "LIGHTRAIL_API", "LIGHTRAIL_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LIGHTRAIL_CONFIG_DIR", str(tmp_path / "config"))
    return tmp_path / "config"


def test_credentials_are_kept_apart_and_private(config: Path) -> None:
    store.keep_credential(ONE, Secret("ls_1"), "a@example.test")
    store.keep_credential(TWO, Secret("ls_2"), "b@example.test")
    assert (store.credential(ONE), store.credential(TWO)) == (Secret("ls_1"), Secret("ls_2"))
    assert stat.S_IMODE((config / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(config.stat().st_mode) == 0o700
    assert store.forget_credential(ONE)
    assert not store.forget_credential(ONE)
    assert (store.credential(ONE), store.credential(TWO)) == (None, Secret("ls_2"))
    assert [path.name for path in config.iterdir()] == ["credentials.json"], "no drafts are left"


def test_a_link_covers_what_is_below_and_the_nearest_wins(tmp_path: Path) -> None:
    def link(directory: Path, name: str) -> store.Link:
        return store.Link(str(directory), "prj", name, "env", "production")

    outer, inner = tmp_path / "outer", tmp_path / "outer" / "inner"
    store.keep_link(ONE, link(outer, "outer"))
    store.keep_link(ONE, link(inner, "inner"))
    found = store.link(ONE, inner / "deep" / "deeper")
    assert found is not None
    assert found.project_name == "inner"
    assert (store.link(ONE, outer / "other") or found).project_name == "outer"
    assert store.link(ONE, tmp_path) is None
    assert store.link(TWO, inner) is None


def test_a_broken_file_is_a_sentence(config: Path) -> None:
    config.mkdir()
    (config / "credentials.json").write_text("{", encoding="utf-8")
    with pytest.raises(Invalid, match=r"credentials\.json"):
        store.credential(ONE)


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("LIGHTRAIL_CONFIG_DIR", str(tmp_path / "file" / "below"))
    with pytest.raises(Invalid, match="LIGHTRAIL_CONFIG_DIR"):
        store.keep_credential(ONE, Secret("x"), "")


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LIGHTRAIL_CONFIG_DIR")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert store.directory() == tmp_path / "lightrail"
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert store.directory() == Path("/home/somebody/.config/lightrail")


@pytest.mark.parametrize(
    ("environ", "api"),
    [
        ({}, "http://localhost:8080"),
        ({"LIGHTRAIL_PORT": "9090"}, "http://localhost:9090"),
        ({"LIGHTRAIL_API": "https://cloud.example/", "LIGHTRAIL_PORT": "9090"}, "https://cloud.example"),
        ({"LIGHTRAIL_API": "https://cloud.example/api/v1"}, "https://cloud.example"),
        ({"LIGHTRAIL_API": "cloud.example:8080"}, "http://cloud.example:8080"),
    ],
)
def test_which_platform_is_meant(environ: dict[str, str], api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert session.api() == api


def test_a_token_of_the_environment_comes_before_the_kept_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Denied, match="lr login"):
        session.credential()
    store.keep_credential(session.api(), Secret("kept"), "")
    assert session.credential() == Secret("kept")
    monkeypatch.setenv("LIGHTRAIL_TOKEN", "given")
    assert session.credential() == Secret("given")
    monkeypatch.setenv("LIGHTRAIL_TOKEN", "")
    assert session.credential() == Secret("kept")


def environment(identity: str, name: str) -> Environment:
    return Environment(identity, "prj", "wsp", name, VirtualClock().now())


def test_things_are_picked_by_id_or_name() -> None:
    rows = [environment("env_1", "Production"), environment("env_2", "staging"), environment("env_3", "staging")]
    assert target.pick(rows, "env_2", "environment").id == "env_2"
    assert target.pick(rows, "production", "environment").id == "env_1"
    with pytest.raises(Conflict, match="env_2, env_3"):
        target.pick(rows, "staging", "environment")
    with pytest.raises(NotFound, match="Production"):
        target.pick(rows, "nothing", "environment")


@pytest.mark.parametrize(
    ("directory", "name"),
    [("My App!", "my-app"), ("слово", "app"), ("--x--", "x"), ("a" * 60, "a" * 40), ("web_2", "web-2")],
)
def test_a_directory_gives_a_name_that_may_be_one(directory: str, name: str) -> None:
    assert target.name_of(Path("/somewhere") / directory) == name

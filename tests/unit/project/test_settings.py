"""Settings: what is set, what is unset, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from libs.kernel.errors import Invalid
from libs.kernel.units import GIB, MIB, Bytes, Millicores
from services.project.domain.settings import NAMES, Resources, Settings, changed

FULL = Settings(
    start_command="python app.py",
    build_command="make",
    test_command="make test",
    builder="docker",
    root_directory="apps/web",
    replicas=3,
    health_path="/healthz?full=1",
    health_timeout=60,
    restart_policy="always",
    restart_max_retries=0,
    drain_seconds=0,
    resources=Resources(Millicores(100), Bytes(64 * MIB), Millicores(500), Bytes(GIB)),
    kind="worker",
)


def test_only_what_is_given_changes() -> None:
    assert changed(Settings(), FULL) == FULL
    assert changed(FULL, Settings()) == FULL
    assert changed(FULL, Settings(replicas=0)).replicas == 0
    assert changed(FULL, Settings(replicas=0)).kind == "worker"


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_can_be_put_back_to_unset(name: str) -> None:
    cleared = changed(FULL, Settings(), [name])
    assert getattr(cleared, name) is None
    assert changed(cleared, Settings(**{name: getattr(FULL, name)})) == FULL


@pytest.mark.parametrize("name", ["start_command", "build_command", "root_directory", "health_path", "kind"])
def test_blank_text_means_unset(name: str) -> None:
    given: dict[str, Any] = {name: ""}
    assert getattr(changed(FULL, Settings(**given)), name) is None


def test_no_resources_at_all_means_unset() -> None:
    assert changed(FULL, Settings(resources=Resources())).resources is None


@pytest.mark.parametrize(
    ("written", "kept"), [("app", "app"), ("./app/", "app"), (".", None), ("a/./b", "a/b"), (" a ", "a")]
)
def test_a_root_directory_is_kept_in_its_simplest_form(written: str, kept: str | None) -> None:
    assert changed(Settings(), Settings(root_directory=written)).root_directory == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("replicas", -1),
        ("replicas", 101),
        ("health_path", "healthz"),
        ("health_path", "/a b"),
        ("health_path", "/a\r\nHost: evil"),
        ("health_path", "/" + "a" * 1024),
        ("health_timeout", 0),
        ("health_timeout", 3601),
        ("restart_policy", "sometimes"),
        ("restart_max_retries", -1),
        ("drain_seconds", -1),
        ("drain_seconds", 3601),
        ("start_command", "a" * 8193),
        ("start_command", "ü" * 4097),
        ("start_command", "echo \0"),
        ("build_command", "echo \x1b[2J"),
        ("root_directory", "/etc"),
        ("root_directory", "../other"),
        ("root_directory", "a/../../b"),
        ("root_directory", "a\\b"),
        ("root_directory", "a" * 1025),
        ("kind", "cron"),
    ],
)
def test_a_wrong_value_is_refused_by_name(name: str, value: object) -> None:
    given: dict[str, Any] = {name: value}
    with pytest.raises(Invalid) as caught:
        changed(Settings(), Settings(**given))
    assert caught.value.field == name


@pytest.mark.parametrize(
    ("resources", "field"),
    [
        (Resources(cpu_request=Millicores(-1)), "resources.cpu_request"),
        (Resources(cpu_limit=Millicores(10**9)), "resources.cpu_limit"),
        (Resources(memory_limit=Bytes(MIB)), "resources.memory_limit"),
        (Resources(memory_request=Bytes(-1)), "resources.memory_request"),
        (Resources(cpu_request=Millicores(200), cpu_limit=Millicores(100)), "resources.cpu_limit"),
        (Resources(memory_request=Bytes(GIB), memory_limit=Bytes(GIB - 1)), "resources.memory_limit"),
    ],
)
def test_resources_that_make_no_sense_are_refused(resources: Resources, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        changed(Settings(), Settings(resources=resources))
    assert caught.value.field == field


def test_a_limit_without_a_request_and_a_request_without_a_limit_are_fine() -> None:
    for resources in (Resources(memory_limit=Bytes(16 * MIB)), Resources(cpu_request=Millicores(1))):
        assert changed(Settings(), Settings(resources=resources)).resources == resources


def test_a_command_may_have_lines_and_tabs() -> None:
    assert changed(Settings(), Settings(start_command="a \\\n\tb")).start_command == "a \\\n\tb"


def test_what_is_no_setting_cannot_be_cleared() -> None:
    with pytest.raises(Invalid, match="“colour” is no setting"):
        changed(FULL, Settings(), ["colour"])


def test_a_setting_is_not_set_and_cleared_at_once() -> None:
    with pytest.raises(Invalid, match="set and cleared"):
        changed(FULL, Settings(replicas=1), ["replicas"])

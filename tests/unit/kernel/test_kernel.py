from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.context import Actor, Ctx, Role, platform
from libs.kernel.errors import Denied, Invalid, NotFound
from libs.kernel.ids import PREFIXES, is_id, new_id
from libs.kernel.secret import Secret
from libs.kernel.units import GIB, MIB, parse_bytes, show_bytes
from libs.testing.clock import VirtualClock


def test_ids_of_one_process_grow_strictly_and_have_their_kind() -> None:
    clock = VirtualClock()
    made = []
    for n in range(2000):
        made.append(new_id("deployment", clock))
        clock.advance(0.0005 * (n % 3))
    assert made == sorted(set(made))
    assert all(is_id(one, "deployment") and not is_id(one, "build") for one in made)


@pytest.mark.parametrize("kind", list(PREFIXES))
def test_every_kind_makes_ids_of_one_shape(kind: str) -> None:
    assert is_id(new_id(kind, VirtualClock()), kind)


@pytest.mark.parametrize(
    "wrong", ["", "dep", "dep_", "dep_ABC", "dep_" + "u" * 26, "xyz_" + "0" * 26, "dep_" + "0" * 27]
)
def test_what_is_no_id_is_seen(wrong: str) -> None:
    assert not is_id(wrong)


@given(st.text(min_size=1))
def test_secret_never_shows_itself(value: str) -> None:
    secret = Secret(value)
    shown = {repr(secret), str(secret), f"{secret}", f"{[secret]}", "".join(map(str, [secret]))}
    assert shown <= {"Secret(…)", "[Secret(…)]"}
    assert secret.reveal() == value
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("text", "amount"), [("512MiB", 512 * MIB), ("1.5g", int(1.5 * GIB)), ("4096", 4096), ("2 GB", 2 * GIB), ("0", 0)]
)
def test_sizes_are_read_as_people_write_them(text: str, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", ["", "much", "-1", "1 parsec", "1e9"])
def test_what_is_no_size_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(Invalid, match="is no size"):
        parse_bytes(text)


def test_amounts_are_shown_in_the_largest_unit_that_fits() -> None:
    assert [show_bytes(n) for n in (0, 1023, 1024, 5 * MIB, 3 * GIB)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 MiB",
        "3.0 GiB",
    ]


def ctx(role: Role = Role.DEVELOPER, required: Role = Role.VIEWER, **scope: str) -> Ctx:
    return Ctx(Actor("user", "usr_a", {"wsp_a": role}, **scope), required)  # type: ignore[arg-type]


def test_thing_of_another_workspace_does_not_exist() -> None:
    with pytest.raises(NotFound):
        ctx().allow("wsp_b")


def test_role_that_does_not_reach_is_denied_and_named() -> None:
    with pytest.raises(Denied, match="admin"):
        ctx(Role.DEVELOPER, Role.ADMIN).allow("wsp_a")
    ctx(Role.OWNER, Role.ADMIN).allow("wsp_a")


def test_token_bound_to_a_project_sees_no_other() -> None:
    bound = ctx(project_id="prj_a")
    bound.allow("wsp_a", "prj_a")
    with pytest.raises(NotFound):
        bound.allow("wsp_a", "prj_b")


def test_token_bound_to_an_environment_sees_no_other() -> None:
    with pytest.raises(NotFound):
        ctx(environment_id="env_a").allow("wsp_a", "prj_a", "env_b")


def test_platform_sees_everything() -> None:
    platform("deploy").allow("wsp_any", "prj_any")
    assert platform("deploy").workspaces is None
    assert ctx().workspaces == ["wsp_a"]


def test_workspace_may_be_left_out_only_when_there_is_one() -> None:
    assert ctx().only_workspace("") == "wsp_a"
    two = Ctx(Actor("user", "usr_a", {"wsp_a": Role.OWNER, "wsp_b": Role.OWNER}))
    for unclear in (two, Ctx(Actor("user", "usr_a"))):
        with pytest.raises(Invalid, match="Say which workspace") as refused:
            unclear.only_workspace("")
        assert refused.value.field == "workspace_id"
    with pytest.raises(NotFound):
        two.only_workspace("wsp_c")

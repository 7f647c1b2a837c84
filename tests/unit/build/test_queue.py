from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.build.domain.queue import Waiting, in_turn

WAITING = st.lists(st.sampled_from("abc"), max_size=12).map(
    lambda owners: [Waiting(f"bld_{place}", owner) for place, owner in enumerate(owners)]
)


def test_a_hundred_builds_of_one_do_not_delay_another() -> None:
    waiting = [Waiting(f"a{place}", "a") for place in range(100)] + [Waiting("b", "b")]
    assert in_turn(waiting, [])[:2] == ["a0", "b"]


def test_a_workspace_with_builds_under_way_comes_after_one_without() -> None:
    assert in_turn([Waiting("a", "a"), Waiting("b", "b")], ["a"]) == ["b", "a"]


@given(waiting=WAITING, running=st.lists(st.sampled_from("abc"), max_size=4))
def test_everyone_has_a_turn_and_workspaces_keep_their_own_order(waiting: list[Waiting], running: list[str]) -> None:
    order = in_turn(waiting, running)
    assert sorted(order) == sorted(one.id for one in waiting)
    for workspace in "abc":
        own = [one.id for one in waiting if one.workspace_id == workspace]
        assert [build_id for build_id in order if build_id in own] == own

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from libs.kernel.units import GIB, MIB
from services.build.domain.queue import Free, Rules, Waiting, admit, in_turn

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


RULES = Rules(most=2, memory=2 * GIB, disk_reserve=GIB)
PLENTY = Free(memory=64 * GIB, disk=64 * GIB)
PAIR = [Waiting("a1", "a"), Waiting("a2", "a"), Waiting("b1", "b")]


def test_so_many_begin_as_there_may_be_and_the_others_are_told() -> None:
    found = admit(PAIR, [], 0, RULES, PLENTY)
    assert found.begin == ["a1", "b1"]
    assert found.held["a2"].text == "waiting for its turn: 2 builds are under way, the most at once"


def test_a_workspace_at_its_cap_is_passed_over() -> None:
    rules = Rules(most=4, most_of_workspace=1, memory=GIB)
    found = admit(PAIR, [], 0, rules, PLENTY)
    assert found.begin == ["a1", "b1"]
    assert "1 build is of this workspace" in found.held["a2"].text.replace("is under way", "is")


def test_a_build_waits_for_memory_and_says_how_much_is_free() -> None:
    found = admit([Waiting("a", "a")], ["b"], 1, RULES, Free(700 * MIB, 64 * GIB, used_by_builds=2 * GIB))
    assert found.begin == []
    assert found.held["a"].text == "waiting for memory: needs 2 GiB, 700 MiB are free"


def test_memory_that_a_running_build_may_yet_take_is_not_free() -> None:
    begun = Free(3 * GIB, 64 * GIB, used_by_builds=256 * MIB)
    assert admit([Waiting("a", "a")], ["b"], 1, RULES, begun).begin == []
    grown = Free(3 * GIB, 64 * GIB, used_by_builds=2 * GIB)
    assert admit([Waiting("a", "a")], ["b"], 1, RULES, grown).begin == ["a"]


def test_a_small_machine_builds_one_at_a_time() -> None:
    small = Free(100 * MIB, 64 * GIB)
    assert admit(PAIR, [], 0, RULES, small).begin == ["a1"]
    assert admit(PAIR, ["a"], 1, RULES, small).begin == []


def test_without_disk_nothing_begins() -> None:
    found = admit(PAIR, [], 0, RULES, Free(64 * GIB, 300 * MIB))
    assert found.begin == []
    assert found.held["a1"].text == "waiting for disk: 1 GiB must stay free, 300 MiB are"


@given(
    waiting=WAITING,
    running=st.lists(st.sampled_from("abc"), max_size=4),
    rules=st.builds(Rules, most=st.integers(1, 4), most_of_workspace=st.integers(0, 2), memory=st.just(10)),
    memory=st.integers(0, 60),
)
def test_everyone_begins_or_knows_why_not_and_an_idle_machine_never_stands_still(
    waiting: list[Waiting], running: list[str], rules: Rules, memory: int
) -> None:
    found = admit(waiting, running, len(running), rules, Free(memory, 0))
    assert sorted([*found.begin, *found.held]) == sorted(one.id for one in waiting)
    assert len(running) + len(found.begin) <= max(rules.most, len(running))
    assert found.begin or not waiting or running

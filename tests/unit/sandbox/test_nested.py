"""Groups in which others make groups, and the layers that processes see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from libs.sandbox.cgroups import Group, open_groups
from libs.sandbox.mounts import overlays_of
from libs.sandbox.nested import Nest
from libs.sandbox.spec import Limits


def unified(root: Path) -> Nest:
    group = Group(dict.fromkeys(("memory", "cpu", "pids"), root / "lightrail" / "name" / "commands"), unified=True)
    mounts = root.parent / "mounts"
    mounts.write_text(f"proc /proc proc rw 0 0\ncgroup2 {root} cgroup2 rw 0 0\n", encoding="ascii")
    return Nest(group, mounts)


def test_version_two_counts_what_was_killed_below_since_it_is_watched(tmp_path: Path) -> None:
    nest = unified(tmp_path / "cg")
    folder = nest.group.folders["memory"]
    folder.mkdir(parents=True)
    (folder / "memory.events").write_text("oom 1\noom_kill 1\n", encoding="ascii")
    assert nest.place == "/lightrail/name/commands"
    with nest.watched() as out_of_memory:
        assert not out_of_memory()
        (folder / "memory.events").write_text("oom 2\noom_kill 2\n", encoding="ascii")
        assert out_of_memory()


def test_it_goes_with_all_below_it_and_twice_is_harmless(tmp_path: Path) -> None:
    nest = unified(tmp_path / "cg")
    (nest.group.folders["memory"] / "buildkit" / "one").mkdir(parents=True)
    assert nest.remove()
    assert nest.remove()
    assert not (tmp_path / "cg" / "lightrail" / "name").exists()


def test_a_cap_is_raised_and_lowered_where_the_kernel_has_an_order_for_it() -> None:
    groups = open_groups(f"tests-{os.getpid()}")
    if groups is None:
        pytest.skip("this user may not make cgroups here")
    try:
        for memory in (64, 256, 32):
            groups.make("one", Limits(memory_bytes=memory * 2**20))
    finally:
        Nest(groups.group("one")).remove()
        groups.fold()


def test_processes_that_see_no_overlay_of_ours_have_none(tmp_path: Path) -> None:
    assert overlays_of([os.getpid(), 2**22 + 1], tmp_path) == []

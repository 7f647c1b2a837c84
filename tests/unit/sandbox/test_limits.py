from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from libs.sandbox import cgroups
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Limits
from libs.testing.attacks import FORKS
from libs.testing.eventually import eventually
from tests.unit.sandbox.rig import ROOT, run, sh, spec, start


async def test_memory_hog_is_stopped_and_said_to_be_out_of_memory(sandbox: Sandbox) -> None:
    hog = "x = bytearray(300 << 20); print(len(x))"
    ended, heard = await run(sandbox, spec("/usr/bin/python3", "-c", hog, limits=Limits(memory_bytes=64 << 20)))
    assert ended.code != 0
    assert heard.out == b""
    assert ended.oom is sandbox.grouped


async def test_memory_limit_holds_for_files_in_tmp(sandbox: Sandbox) -> None:
    ended, _ = await run(sandbox, sh("head -c 300000000 /dev/zero > /tmp/big", limits=Limits(memory_bytes=64 << 20)))
    assert ended.code != 0


async def test_fork_bomb_is_capped(sandbox: Sandbox) -> None:
    ended, heard = await run(sandbox, spec("/usr/bin/python3", "-c", FORKS, limits=Limits(pids=40)))
    assert ended.code == 0
    assert 10 < int(heard.out.split()[1]) < 40


async def test_file_limit_stops_a_file_from_growing(sandbox: Sandbox) -> None:
    script = "head -c 3000000 /dev/zero > /tmp/f; stat -c %s /tmp/f"
    _, heard = await run(sandbox, sh(script, limits=Limits(file_bytes=1024 * 1024)))
    assert int(heard.out) <= 1024 * 1024


async def test_cpu_limit_holds(sandbox: Sandbox, tmp_path: Path) -> None:
    if not sandbox.grouped:
        pytest.skip("rlimits cap no share of CPU")
    process = await start(sandbox, sh("while :; do :; done", limits=Limits(cpu_millicores=100)), tmp_path / "d")
    loop = asyncio.get_running_loop()
    used, since = sandbox.usage(process).cpu_microseconds, loop.time()
    await eventually(lambda: loop.time() - since > 1)
    share = (sandbox.usage(process).cpu_microseconds - used) / (loop.time() - since) / 1_000_000
    await sandbox.kill(process)
    await sandbox.release("one")
    assert share < 0.25


async def test_usage_is_measured(sandbox: Sandbox, tmp_path: Path) -> None:
    script = (
        "import time\nx = bytearray(50 << 20)\nfor i in range(3_000_000): pass\n"
        "print('up', flush=True)\ntime.sleep(100)"
    )
    process = await start(sandbox, spec("/usr/bin/python3", "-c", script), tmp_path / "d")
    await eventually(lambda: (tmp_path / "d" / "one.out").read_bytes() == b"up\n")
    usage = sandbox.usage(process)
    await sandbox.kill(process)
    assert usage.cpu_microseconds > 20_000
    assert 50 << 20 < usage.memory_bytes < 90 << 20
    after = sandbox.usage(process)
    assert after.cpu_microseconds >= (usage.cpu_microseconds if sandbox.grouped else 0)
    await sandbox.release("one")
    assert sandbox.usage(process).memory_bytes == 0


@pytest.mark.skipif(not ROOT, reason="an ordinary user may make no cgroups here")
async def test_release_kills_and_removes_what_is_in_a_group(sandbox: Sandbox, tmp_path: Path) -> None:
    if sandbox._groups is None:
        pytest.skip("no groups here")
    process = await start(sandbox, sh("sleep 100"), tmp_path / "d")
    await sandbox.release("one")
    await eventually(lambda: _dead(sandbox, process.pid))
    assert "app-one" not in sandbox._groups.keys()  # noqa: SIM118 - a method of its own
    await sandbox.release("one")


def _dead(sandbox: Sandbox, pid: int) -> bool:
    sandbox.poll()
    return not Path(f"/proc/{pid}").exists()


def test_group_of_version_two_is_limited_and_read(tmp_path: Path) -> None:
    root = tmp_path / "cg"
    for folder in (root, root / "lightrail", root / "lightrail" / "name"):
        folder.mkdir()
        (folder / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
        (folder / "cgroup.subtree_control").write_text("cpu memory pids\n")
    groups = cgroups.open_groups("name", mounts=f"cgroup2 {root} cgroup2 rw 0 0\n", own="0::/\n")
    assert groups is not None
    folder = root / "lightrail" / "name" / "k"
    folder.mkdir()
    caps = ("memory.max", "memory.swap.max", "cpu.max", "pids.max")
    for name in caps:
        (folder / name).write_text("max")
    group = groups.make("k", Limits(memory_bytes=1000, cpu_millicores=250, pids=9))
    assert [(folder / name).read_text() for name in caps] == ["1000", "0", "25000 100000", "9"]
    (folder / "cpu.stat").write_text("usage_usec 77\nuser_usec 1\n")
    (folder / "memory.current").write_text("5000\n")
    (folder / "memory.stat").write_text("anon 1\ninactive_file 1000\n")
    (folder / "memory.events").write_text("oom 3\noom_kill 0\n")
    assert (group.usage().cpu_microseconds, group.usage().memory_bytes, group.oom()) == (77, 4000, False)
    (folder / "memory.events").write_text("oom 3\noom_kill 1\n")
    assert group.oom()
    assert group.doors == [folder / "cgroup.procs"]


def test_no_groups_where_the_controllers_are_missing(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("")
    assert cgroups.open_groups("n", mounts=f"cgroup2 {tmp_path} cgroup2 rw 0 0\n", own="0::/\n") is None
    assert cgroups.open_groups("n", mounts="proc /proc proc rw 0 0\n", own="") is None


@pytest.mark.skipif(not ROOT, reason="an ordinary user may make no cgroups here")
def test_the_parent_of_groups_is_there_only_while_a_group_is() -> None:
    name = f"tests-{os.getpid()}-parent"
    groups = cgroups.open_groups(name)
    if groups is None:
        pytest.skip("no groups here")
    parents = set(groups.parents.values())
    assert not [parent for parent in parents if parent.exists()]
    assert groups.keys() == set()
    group = groups.make("k", Limits(pids=9))
    assert {folder.parent for folder in group.folders.values()} == parents
    # Another process of the platform opens it meanwhile.
    assert cgroups.open_groups(name) == groups
    assert groups.keys() == {"k"}
    assert group.remove()
    groups.fold()
    assert not [parent for parent in parents if parent.exists()]


def test_members_are_looked_for_while_groups_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").write_text("7\n")
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            inner = tmp_path / "made" / "below"
            inner.mkdir(parents=True)
            (inner / "cgroup.procs").write_text("8\n")
            (inner / "cgroup.procs").unlink()
            inner.rmdir()
            inner.parent.rmdir()

    group = cgroups.Group({"memory": tmp_path}, unified=True)
    thread = threading.Thread(target=churn)
    thread.start()
    try:
        seen = [group.members() for _ in range(3_000)]
    finally:
        over.set()
        thread.join()
    assert all(found in ({7}, {7, 8}) for found in seen)

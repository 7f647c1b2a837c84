"""What builders of images keep builds from, each of which ends by itself within seconds."""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from libs.kernel.units import MIB
from libs.plans.faults import BuildFault
from libs.runtime.clock import SystemClock
from libs.sandbox.spec import Limits
from libs.testing.attacks import FORKS
from libs.testing.eventually import eventually
from services.build.adapters.disk import DiskWatch
from services.build.app import writer
from services.build.app.ports import Lease, Log
from services.build.app.wakes import Wakes
from services.build.app.writer import Writer
from tests.contract.workshop import Workshop, alive
from tests.integration.build.sites import Kept

__all__ = [
    "test_build_that_fills_the_disk_is_stopped_and_told_its_limit",
    "test_build_within_its_disk_is_let_alone_beside_one_that_is_not",
    "test_command_that_takes_more_memory_than_it_may_is_told_the_limit",
    "test_commands_are_within_the_caps_of_memory_cpu_and_processes",
    "test_endless_printer_is_cut_off_and_the_build_goes_on",
    "test_files_of_the_platform_and_of_other_builds_are_not_there",
    "test_fork_bomb_ends_at_its_cap",
]

MODEST = Limits(memory_bytes=256 * MIB, cpu_millicores=1500, pids=96)
HOG = "python3 -c \"x = b'1' * 600_000_000; print(len(x))\""
FILL = "head -c {size}M /dev/zero > {file}; sync {file}; sleep {rest}"


async def test_command_that_takes_more_memory_than_it_may_is_told_the_limit(workshop: Workshop) -> None:
    tight = workshop.limited(MODEST)
    with pytest.raises(BuildFault, match=r"The step build failed: .* ran out of memory \(limit 256 MiB\)"):
        await tight.build({"main.py": "print(1)\n"}, build_command=HOG)
    await workshop.build({"main.py": "print(1)\n"}, build_command="echo the next one has its own")


async def test_fork_bomb_ends_at_its_cap(workshop: Workshop) -> None:
    tight = workshop.limited(MODEST)
    await tight.build({"main.py": "1\n", "bomb.py": FORKS}, build_command="python3 bomb.py")
    made = next(int(text.split()[1]) for text in tight.heard.texts("build") if text.startswith("forked"))
    assert 10 < made < 96


async def test_commands_are_within_the_caps_of_memory_cpu_and_processes(workshop: Workshop) -> None:
    tight, word = workshop.limited(replace(MODEST, cpu_millicores=300)), str(10_000_000 + secrets.randbelow(80_000_000))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(tight.build({"main.py": "1\n"}, build_command=f"while :; do :; done & sleep {word}"))
        # The shell that begins it has the word among others.
        await eventually(lambda: bool(alive(word)), within=60)
        pid = alive(word)[0]
        found = await asyncio.to_thread(caps_of, pid)
        # The kernel has held the busy one back: the cap is felt.
        await eventually(lambda: throttled(pid), within=30)
        task.cancel()
    assert found["memory"] == 256 * MIB
    assert found["cpu"] == 300
    assert found["pids"] == 96


def groups_of(pid: int) -> Iterator[Path]:
    """The folders of a process's control groups, in every hierarchy, and of all groups above them."""
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        root = Path("/sys/fs/cgroup", *([controllers] if controllers else []))
        yield from (root / path.lstrip("/"), *(root / path.lstrip("/")).parents)


def throttled(pid: int) -> bool:
    """Whether the kernel has held back what the process is among, for it had its share of CPU."""
    stats = [folder / "cpu.stat" for folder in groups_of(pid)]
    return any(re.search(r"nr_throttled [1-9]", file.read_text()) for file in stats if file.exists())


def caps_of(pid: int) -> dict[str, int]:
    """The tightest caps on a process: bytes, thousandths of a core, processes. Blocks."""
    found: dict[str, int] = {}

    def note(what: str, value: float) -> None:
        found[what] = min(found.get(what, 2**62), int(value))

    for folder in groups_of(pid):
        if (file := folder / "memory.limit_in_bytes").exists():
            note("memory", int(file.read_text()))
        if (file := folder / "cpu.cfs_quota_us").exists() and (quota := int(file.read_text())) > 0:
            note("cpu", quota * 1000 / int((folder / "cpu.cfs_period_us").read_text()))
        for name, what in (("memory.max", "memory"), ("pids.max", "pids")):
            if (file := folder / name).exists() and (text := file.read_text().strip()) != "max":
                note(what, int(text))
        if (file := folder / "cpu.max").exists() and not (text := file.read_text()).startswith("max"):
            note("cpu", int(text.split()[0]) * 1000 / int(text.split()[1]))
    return found


async def test_endless_printer_is_cut_off_and_the_build_goes_on(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the limit is reached early, however busy this machine is.
    monkeypatch.setattr(writer, "MOST_LINES", 5_000)
    kept = Kept()
    log = Writer(cast("Log", kept), Lease("bld_1", "run_1", 1), Wakes(), SystemClock(), after=0)
    command = "timeout 2 yes 'a line that says nothing and never ends' || true"
    await workshop.build({"main.py": "1\n"}, build_command=command, output=log)
    await log.write()
    texts = [line.text for line in kept.lines]
    assert 5_000 < len(texts) < 5_200
    assert any("the rest is not kept" in text for text in texts)


async def test_build_that_fills_the_disk_is_stopped_and_told_its_limit(workshop: Workshop) -> None:
    tight = workshop.limited(MODEST, DiskWatch(24 * MIB, 0, SystemClock()))
    command = FILL.format(size=80, file="big", rest=20)
    with pytest.raises(BuildFault, match=r"used more than 24 MiB of disk \(limit 24 MiB\), so it was stopped"):
        await tight.build({"main.py": "1\n"}, build_command=command)


async def test_build_within_its_disk_is_let_alone_beside_one_that_is_not(workshop: Workshop) -> None:
    modest = workshop.limited(MODEST, DiskWatch(64 * MIB, 0, SystemClock()))
    greedy = workshop.limited(MODEST, DiskWatch(64 * MIB, 0, SystemClock()))
    greedy.numbers = iter(range(500, 600))

    async def stopped() -> None:
        with pytest.raises(BuildFault, match="used more than 64 MiB"):
            await greedy.build({"main.py": "2\n"}, build_command=FILL.format(size=120, file="big", rest=20))

    async with asyncio.TaskGroup() as group:
        group.create_task(stopped())
        group.create_task(modest.build({"main.py": "1\n"}, build_command=FILL.format(size=8, file="some", rest=3)))


async def test_files_of_the_platform_and_of_other_builds_are_not_there(workshop: Workshop) -> None:
    home = workshop.site.home
    (home / "canary").write_text("a file of the platform's", encoding="utf-8")
    assert workshop.place
    places = f"{home} {workshop.place} /proc/{os.getpid()}/cwd"
    # Nor can a build change what it may take, where the names of groups are seen.
    widen = "find /sys/fs/cgroup -name pids.max -o -name memory.limit_in_bytes -o -name memory.max"
    command = (
        f"ls -d {places}; find / -xdev -name canary; for f in $({widen}); do echo 99 > $f && echo /sys/widened; done"
    )
    await workshop.build({"main.py": "1\n"}, build_command=f"({command}) 2>/dev/null; echo looked")
    said = workshop.heard.texts("build")
    assert "looked" in said
    assert not [line for line in said if "canary" in line and "find" not in line]
    seen = [line for line in said if line.startswith(("/sys", "/proc", str(home), str(workshop.place)))]
    assert seen == [], seen

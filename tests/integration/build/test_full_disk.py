"""Builds on a disk that is really full: each ends at once, in a sentence, and leaves the disk as it was."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.kernel.units import MIB
from libs.plans.plan import BuildPlan
from libs.runtime.clock import SystemClock
from services.build.adapters.disk import DiskWatch
from services.build.app.ports import Job, Output
from services.build.domain.model import BuildState
from tests.integration.build.sites import Site
from tests.integration.build.world import World

SIZE = 24 * MIB
SPARSE = "".join(f"{number:x}{' ' * 300}\n" for number in range(20_000))
# Where a build meets the end of the disk: the files of a source, and its build command.
PLACES = {
    "a command that says nothing about it": ({"main.py": "1\n"}, "head -c 60M /dev/urandom > big 2>/dev/null"),
    "what is packed": ({"main.py": "1\n"}, "head -c 14M /dev/urandom > big"),
    # Sent small, and large when it is unpacked.
    "the source": ({f"{number}.py": SPARSE for number in range(8)} | {"main.py": "1\n"}, ""),
}


@pytest.fixture
def small_disk(open_folder: Path) -> Iterator[Path]:
    disk = Path(tempfile.mkdtemp(dir=open_folder))
    argv = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "lightrail-test", str(disk)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize("place", PLACES)
async def test_a_build_on_a_full_disk_ends_at_once_in_a_sentence_and_leaves_it_as_it_was(
    world: World, small_disk: Path, place: str
) -> None:
    site = await Site.open(small_disk / "site", disk=DiskWatch(SIZE, 0, SystemClock()))
    await site.build({"main.py": "1\n"})
    source, command = PLACES[place]

    async def on_the_disk(_job: Job, _plan: BuildPlan, output: Output) -> None:
        await site.build(source, build_command=command, output=output)

    world.builder.script = on_the_disk
    build = await world.request()
    await world.drive()
    done = await world.now(build)
    assert (done.state, done.attempt) == (BuildState.FAILED, 1)
    assert "disk" in done.reason
    assert "full" in done.reason
    assert "Errno" not in done.reason + "".join(await world.texts(build))
    assert list((site.home / "build" / "work").iterdir()) == []
    free = os.statvfs(small_disk)
    assert free.f_bavail * free.f_frsize > SIZE - 4 * MIB
    await site.build({"main.py": "2\n"})

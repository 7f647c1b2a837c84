"""The disk of a platform fills up while it runs: applications go on, people are told, and it recovers by itself."""

from __future__ import annotations

import errno
import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.gate import Gate
from tests.chaos.held import Held, facts_are_whole
from tests.chaos.patient import RECOVERY_SECONDS, Patient
from tests.e2e.application import Application
from tests.e2e.load import load
from tests.e2e.platform import Platform

SIZE = "500m"


def mount(folder: Path) -> None:
    """Puts a small disk there."""
    argv = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "lightrail-test", str(folder)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")


def unmount(folder: Path) -> None:
    """Takes the small disk away, and where it was."""
    subprocess.run(["umount", str(folder)], check=True)
    folder.rmdir()


def fill(folder: Path) -> Path:
    """Writes until nothing more fits, and gives the file that takes the room."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            block = b"\0" * size
            while True:
                try:
                    file.write(block)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    break
    return filler


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    made = Platform("all", settings={"LIGHTRAIL_BUILD_DISK_RESERVE_BYTES": "1MiB"})
    mount(made.folder)
    try:
        made.start()
        yield made
    finally:
        (made.home / "filler").unlink(missing_ok=True)
        made.lr_now("platform", "reset", "--yes")
        unmount(made.folder)


def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        page = tarfile.TarInfo("index.html")
        page.size = 3 << 20
        tar.addfile(page, io.BytesIO(b"x" * page.size))
    return packed.getvalue()


async def test_a_disk_that_fills_up_stops_nothing_that_runs(platform: Platform, folder: Path) -> None:
    gate = Gate()
    held = Held(Application(platform, "runs", folder / "runs"), gate)
    await held.begin()
    patient = Patient(held.app)
    before = held.app.processes(held.first)
    path = f"/api/v1/services/{held.app.id}/snapshots"
    async with load(platform.port, held.app.host, per_second=10) as counts:
        filler = fill(platform.home)
        refused = await platform.request("POST", path, content=archive())
        assert refused.status_code == 503, refused.text
        assert refused.headers["content-type"] == "application/problem+json"
        assert "disk" in refused.json()["detail"], refused.text
        assert "Errno" not in refused.text
        filler.unlink()
        await patient.parts_are_well()
        accepted = await platform.request("POST", path, content=archive())
        assert accepted.is_success, accepted.text
        new = await held.deploy()
        gate.open(held.build, held.start(new))
        await held.app.becomes("active", new, within=RECOVERY_SECONDS)
        await patient.settles()
    assert counts.failed == 0, counts.failures
    assert await held.app.text() == held.names[new]
    assert not held.app.processes(held.first) & before
    await facts_are_whole(platform)
    gate.end()


async def test_a_start_on_a_full_disk_is_one_sentence() -> None:
    full = Platform("all")
    mount(full.folder)
    try:
        fill(full.folder)
        run = await full.lr("platform", "up", "--detach", check=False)
        assert run.code == 1
        assert run.err == (
            f"The disk of {full.home} is full. Free some space. Set LIGHTRAIL_HOME to another directory.\n"
        )
    finally:
        unmount(full.folder)

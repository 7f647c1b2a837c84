"""Builds that mean harm, run by the real builder in the real sandbox; each ends by itself within seconds."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import pytest_asyncio

from libs.kernel.units import MIB
from libs.plans.faults import BuildFault
from libs.runtime.clock import SystemClock
from libs.testing.attacks import FORKS
from services.build.adapters.disk import DiskWatch, processes_of
from services.build.app import writer
from services.build.app.ports import Lease, Log
from services.build.app.wakes import Wakes
from services.build.app.writer import Writer
from tests.integration.build.sites import Heard, Kept, Site
from tests.integration.build.world import running

CLOSED = "[build]\nnetwork = false\n"
DIAL = """
import socket, sys
for place in sys.argv[1:]:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), 2)
        print("reached", place)
    except OSError as error:
        print("refused", place, error)
"""
METADATA = "169.254.169.254:80"


@pytest_asyncio.fixture
async def site(open_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    yield await Site.open(open_folder / f"attacked-{abs(hash(request.node.nodeid)):x}")


async def test_a_step_without_network_reaches_neither_the_machine_nor_the_metadata_address_nor_anything(
    site: Site,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"127.0.0.1:{server.getsockname()[1]}"
        command = f"python dial.py {here} {METADATA} 192.0.2.1:443 && cat /proc/net/route"
        source = {"main.py": "1\n", "dial.py": DIAL}
        await site.build({**source, "lightrail.toml": CLOSED}, build_command=command)
        closed = site.heard.lines
        await site.build(source, build_command=f"python dial.py {here}")
    # The same step with a network does get there: the wall is what keeps the other from it.
    assert f"reached {here}" in site.heard.lines
    assert not [line for line in closed if line.startswith("reached")]
    assert len([line for line in closed if line.startswith("refused")]) == 3
    assert not [line for line in closed if line.startswith(("eth", "en", "lo\t0"))], "there is a route"


# Each writes 400 MiB at most, should nothing stop it, and ends.
FILLERS = {
    "one large file": "head -c 400M /dev/zero > big; sleep 20",
    "many small files": "mkdir d && cd d && i=0; while [ $i -lt 30000 ]; do echo x > $i; i=$((i+1)); done; sleep 20",
    "a file without a name": "exec 3> hidden; rm hidden; head -c 400M /dev/zero >&3; sleep 20",
    "a cache": "head -c 400M /dev/zero > /cache/uv/big; sleep 20",
}


@pytest.mark.parametrize("how", FILLERS)
async def test_a_build_that_fills_the_disk_is_stopped_and_told_its_limit(open_folder: Path, how: str) -> None:
    if how == "a file without a name" and os.geteuid() != 0:
        pytest.skip("an ordinary user's builds have the platform's own uid")
    watch = DiskWatch(24 * MIB, 0, SystemClock())
    site = await Site.open(open_folder / f"filled-{abs(hash(how)):x}", disk=watch)
    with pytest.raises(BuildFault, match=r"used more than 24 MiB of disk \(limit 24 MiB\), so it was stopped"):
        await site.build({"main.py": "1\n"}, build_command=FILLERS[how])
    assert list((site.home / "build" / "work").iterdir()) == []


async def test_a_build_is_stopped_before_the_machine_has_no_disk_left(open_folder: Path) -> None:
    watch = DiskWatch(64 * MIB, 2 * MIB, SystemClock(), left=lambda _: MIB)
    site = await Site.open(open_folder / "full", disk=watch)
    with pytest.raises(BuildFault, match=r"disk is nearly full \(1 MiB free\)"):
        await site.build({"main.py": "1\n"}, build_command="sleep 20")


async def test_a_build_within_its_disk_is_let_alone(open_folder: Path) -> None:
    site = await Site.open(open_folder / "modest", disk=DiskWatch(24 * MIB, 0, SystemClock()))
    await site.build({"main.py": "1\n"}, build_command="head -c 8M /dev/zero > some && sleep 1")


async def test_an_endless_printer_takes_no_memory_and_lets_others_have_their_turn(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that the limit is reached early, however busy this machine is.
    monkeypatch.setattr(writer, "MOST_LINES", 5_000)
    kept, late = Kept(), list[float]()
    log = Writer(cast("Log", kept), Lease("bld_1", "run_1", 1), Wakes(), site.clock, after=0)
    loop = asyncio.get_running_loop()

    async def others() -> None:
        # What the platform's other calls are to the same loop.
        while True:
            due = loop.time() + 0.01
            await site.clock.sleep(0.01)
            late.append(loop.time() - due)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with running(others()):
        command = "timeout 2 yes 'a line that says nothing and never ends' || echo ended"
        await site.build({"main.py": "1\n"}, build_command=command, output=log)
    await log.write()
    texts = [line.text for line in kept.lines]
    assert 5_000 < len(texts) < 5_100
    assert any("the rest is not kept" in text for text in texts)
    # It printed gigabytes, should it have been let; in KiB.
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 128 * 1024
    assert sorted(late)[len(late) * 95 // 100] < 0.25


SCRATCH = ("/tmp/*", "/dev/shm/*")  # noqa: S108 - where a build looks inside
# Looks for what another build wrote, wherever a process may look.
SNOOP = """
import glob, os, sys
found = []
own = ("environ", "cmdline", "root/app/*", "cwd/*")
for pattern in (*(f"/proc/[0-9]*/{name}" for name in own), *sys.argv[1:]):
    for path in glob.glob(pattern):
        try:
            with open(path, "rb") as file:
                if b"treasure" + b"-of-the-other" in file.read(1 << 20):
                    found.append(path)
        except OSError:
            pass
print("found", sorted(path for path in found if "snoop" not in path))
"""


async def test_a_fork_bomb_ends_at_its_cap_and_leaves_nothing_running(site: Site) -> None:
    await site.build({"main.py": "1\n", "bomb.py": FORKS}, build_command="python bomb.py")
    made = next(int(line.split()[1]) for line in site.heard.lines if line.startswith("forked"))
    assert 10 < made < 512
    if os.geteuid() == 0:
        assert processes_of(site.sandbox.uid("build:wsp_1")) == []


@pytest.mark.parametrize("neighbour", ["wsp_1", "wsp_2"])
async def test_a_build_reads_nothing_of_another_build_that_runs_beside_it(site: Site, neighbour: str) -> None:
    secret = "treasure-of-the-other"
    begun = asyncio.Event()

    class Victim(Heard):
        async def chunk(self, step: str, stream: str, data: bytes) -> None:
            await super().chunk(step, stream, data)
            if b"guarding" in data:
                begun.set()

    keep = "echo $TREASURE > treasure.txt && echo $TREASURE > /cache/uv/mine-$TREASURE && echo guarding && sleep 30"
    places = [f"{site.home}/build/work/*/source/*", f"{site.home}/build/*/*", f"{site.home}/*", *SCRATCH]

    async def guard() -> None:
        source, told = {"main.py": "1\n", "snoop.txt": ""}, {"TREASURE": secret}
        await site.build(source, workspace="wsp_1", variables=told, build_command=keep, output=Victim())

    async with running(guard()):
        await asyncio.wait_for(begun.wait(), 30)
        await site.build(
            {"main.py": "1\n", "snoop.py": SNOOP},
            workspace=neighbour,
            build_command=f"python snoop.py {' '.join(repr(place) for place in places)}; ls /cache/uv",
        )
    assert "found []" in site.heard.lines
    # Downloads are shared within a workspace, and with nobody else.
    assert (f"mine-{secret}" in site.heard.lines) is (neighbour == "wsp_1")


async def test_a_build_reads_none_of_the_platforms_files(site: Site) -> None:
    (site.home / "keys").mkdir(mode=0o755)
    (site.home / "keys" / "identity").write_text("treasure-of-the-other")
    person = Path.home()
    places = [str(site.home), f"{site.home}/keys/*", "/etc/shadow", f"{person}/*", f"{person}/.*", "/run/docker.sock"]
    read = "; ".join(f"cat {place} 2>/dev/null && echo read" for place in places)
    command = f"python snoop.py {' '.join(map(repr, places))}; {read}; true"
    await site.build({"main.py": "1\n", "snoop.py": SNOOP}, build_command=command)
    assert "found []" in site.heard.lines
    assert not [line for line in site.heard.lines if line == "read"]


async def test_a_secret_is_in_no_layer_no_manifest_and_no_log(site: Site) -> None:
    secret = "sk-live-4242-never-shown"
    kept = Kept()
    log = Writer(cast("Log", kept), Lease("bld_1", "run_1", 1), Wakes(), site.clock, after=0)
    log.hide({secret})
    command = "echo the token is $TOKEN and env says && env && python -c 'import os; print(os.environ[\"TOKEN\"])'"
    artifact = await site.build({"main.py": "1\n"}, variables={"TOKEN": secret}, build_command=command, output=log)
    await log.write()
    texts = "\n".join(line.text for line in kept.lines)
    assert "the token is •••" in texts
    assert secret not in texts
    assert secret not in str(artifact.manifest())
    for layer in artifact.layers:
        folder = await site.unpacked(artifact, layer.mount)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
        assert files
        assert not [path for path in files if secret.encode() in path.read_bytes()]

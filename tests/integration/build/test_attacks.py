"""Builds that mean harm, run by the real builder in the real sandbox; each ends by itself within seconds."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.kernel.units import MIB
from libs.plans.faults import BuildFault
from libs.runtime.clock import SystemClock
from services.build.adapters.disk import DiskWatch
from tests.integration.build.sites import Site

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

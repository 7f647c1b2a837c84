"""Builds that mean harm, run by the real builder in the real sandbox; each ends by itself within seconds."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

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

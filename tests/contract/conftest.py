"""What the builders of images need: an engine, and a stack made on this machine; each once for all tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.kernel.errors import Unavailable
from libs.runtime.clock import SystemClock
from libs.sandbox.cgroups import open_groups
from libs.stacks.debian import make_stack
from services.build.adapters.images.bridge import Bridge
from services.build.adapters.images.own import OwnEngine
from services.build.adapters.images.recipes import platform_of
from tests.contract.dockers import docker_workshop
from tests.contract.engines import distribution, engine_room, require
from tests.contract.workshop import Workshop
from tests.integration.build.sites import Site


@pytest.fixture(scope="session")
def engine_folder() -> Iterator[Path]:
    with engine_room() as folder:
        yield folder


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def own_engine(engine_folder: Path) -> AsyncIterator[OwnEngine]:
    """An engine as the platform starts it, for all tests."""
    require("dockerd", "docker", "ip", "iptables")
    key = platform_of(engine_folder)
    groups = open_groups(f"{key}-images")
    if groups is None or os.geteuid() != 0:
        pytest.skip("an engine of our own needs root and control groups")
    bridge = Bridge(key, os.environ)
    engine = OwnEngine(engine_folder / "docker", engine_folder / "r", groups, bridge, SystemClock(), os.environ)
    try:
        async with engine.held():
            pass
    except Unavailable as reason:
        pytest.skip(f"no engine can be started here: {reason}")
    yield engine
    await engine.close()


@pytest.fixture(scope="session")
def stacks(engine_folder: Path) -> Path:
    """The folder of a stack `debian` that was made for the tests."""
    require("mmdebstrap")
    folder = engine_folder / "stacks"
    try:
        make_stack(folder, print)
    except Unavailable as reason:
        pytest.skip(f"no stack can be made here: {reason}")
    return folder


@pytest.fixture(scope="session")
def registry_address(engine_folder: Path) -> Iterator[str]:
    place = engine_folder / "registry"
    place.mkdir()
    with distribution(place) as address:
        yield address


@pytest_asyncio.fixture(loop_scope="session")
async def docker_room(
    open_folder: Path, own_engine: OwnEngine, stacks: Path, request: pytest.FixtureRequest
) -> Workshop:
    """A workshop of one test, with the engine of all."""
    site = await Site.open(open_folder / f"docker-{abs(hash(request.node.nodeid)):x}")
    return docker_workshop(site, own_engine, stacks)

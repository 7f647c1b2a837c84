"""The buildah builder, with a store of the tests' own."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from libs.kernel.units import MIB
from libs.plans.faults import BuildFault
from libs.sandbox.mounts import mounts_below
from services.build.adapters.images.buildah import BuildahBuilder
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.stores import BuildahImages
from services.build.domain.model import Artifact
from tests.contract.builder_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.engines import require
from tests.contract.image_suite import *  # noqa: F403 - the same
from tests.contract.workshop import Workshop, kitchen_of, rooms_of
from tests.integration.build.sites import Site

# They share one stack with the tests of other builders.
pytestmark = pytest.mark.timeout(400)
HOG = "python3 -c \"x = b'1' * 600_000_000; print(len(x))\""


@pytest_asyncio.fixture
async def workshop(
    open_folder: Path, engine_folder: Path, stacks: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Workshop]:
    require("buildah")
    site = await Site.open(open_folder / f"buildah-{abs(hash(request.node.nodeid)):x}")
    told = dict(site.builder.registries.environment)
    # One store for all tests: the stack is loaded once.
    builder = BuildahBuilder(
        home=engine_folder / "buildah",
        kitchen=kitchen_of(site, told),
        stacks=stacks,
        blobs=site.blobs,
        clock=site.clock,
        rooms=rooms_of(site),
        environ=os.environ,
    )

    async def contents(artifact: Artifact) -> bytes:
        assert artifact.image
        out = site.home / "image.tar"
        said = await builder.ask("push", artifact.image.reference, f"docker-archive:{out}", seconds=120)
        assert said.code == 0, said.err
        told = await builder.ask("inspect", "--type", "image", artifact.image.reference)
        return await asyncio.to_thread(out.read_bytes) + told.out.encode()

    async def settings(artifact: Artifact) -> dict[str, Any]:
        assert artifact.image
        found = await builder.inspect(artifact.image.reference)
        assert found
        return dict(found["OCIv1"]["config"])

    def pushing(registry: Registry) -> Workshop:
        return Workshop(site, "buildah", replace(builder, registry=registry).build)

    async def pull(reference: str, registry: Registry) -> str:
        with registry.credentials() as folder:
            authority = f"--authfile={folder}/config.json"
            said = await builder.ask("pull", "--tls-verify=false", "--quiet", authority, reference)
        assert said.code == 0, said.err
        found = await builder.inspect(said.out.strip())
        assert found
        return str(found["OCIv1"]["config"]["WorkingDir"])

    yield Workshop(
        site,
        "buildah",
        builder.build,
        contents,
        settings,
        told.__setitem__,
        BuildahImages(builder, "tests"),
        pushing,
        pull,
    )
    # What was cut off leaves nothing behind.
    for number in range(9):
        await builder.clean(f"bld_{number}")
    assert not json.loads((await builder.ask("containers", "--json")).out or "[]")


async def test_command_that_takes_more_memory_than_it_may_is_told_the_limit(
    open_folder: Path, engine_folder: Path, stacks: Path
) -> None:
    require("buildah")
    site = await Site.open(open_folder / "buildah-hog")
    rooms = rooms_of(site, memory=256 * MIB)
    if rooms.groups is None:
        pytest.skip("this process may make no control groups")
    home = engine_folder / "buildah"
    builder = BuildahBuilder(home, kitchen_of(site), stacks, site.blobs, site.clock, rooms, os.environ)
    with pytest.raises(BuildFault, match=r"ran out of memory \(limit 256 MiB\)"):
        await Workshop(site, "buildah", builder.build).build({"main.py": "print(1)\n"}, build_command=HOG)
    await builder.clean("bld_0")
    assert mounts_below(home) == [], "a killed build leaves nothing mounted"

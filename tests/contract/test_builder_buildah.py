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

from libs.plans.faults import BuildFault
from libs.sandbox.mounts import mounts_below
from libs.sandbox.spec import Limits
from services.build.adapters.disk import DiskWatch
from services.build.adapters.images.buildah import BuildahBuilder
from services.build.adapters.images.kept import is_layer
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.stores import BuildahCaches, BuildahImages
from services.build.app.ports import Cache
from services.build.domain.model import Artifact
from tests.contract.builder_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.engines import require
from tests.contract.hostile_suite import *  # noqa: F403 - the same
from tests.contract.hostile_suite import HOG, MODEST
from tests.contract.image_suite import *  # noqa: F403 - the same
from tests.contract.workshop import Heard, Workshop, kitchen_of, rooms_of
from tests.integration.build.sites import Site

# They share one stack with the tests of other builders.
pytestmark = pytest.mark.timeout(400)
# The oldest way out of a changed root.
ESCAPE = """\
import os, sys
outside = os.open("/", os.O_RDONLY)
os.mkdir("/inner")
os.chroot("/inner")
os.fchdir(outside)
for _ in range(60):
    os.chdir("..")
os.chroot(".")
print(open(sys.argv[1]).read())
"""


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

    def limiting(limits: Limits, disk: DiskWatch | None) -> Workshop:
        rooms = replace(builder.rooms, limits=limits)
        if rooms.groups is None:
            pytest.skip("this process may make no control groups")
        return replace(made, make=replace(builder, rooms=rooms, disk=disk).build, heard=Heard(frozenset()))

    made = Workshop(
        site,
        "buildah",
        builder.build,
        contents,
        settings,
        told.__setitem__,
        BuildahImages(builder, "tests"),
        pushing,
        pull,
        limiting,
        builder.home,
    )
    yield made
    # What was cut off leaves nothing behind.
    for number in range(9):
        await builder.clean(f"bld_{number}")
    assert not json.loads((await builder.ask("containers", "--json")).out or "[]")


async def test_layers_kept_for_the_next_build_go_least_recently_used_first_and_names_stay(workshop: Workshop) -> None:
    assert isinstance(workshop.store, BuildahImages)
    builder = workshop.store.builder
    caches = BuildahCaches(builder)
    # Images of other tests keep their names.
    workshop.numbers = iter(range(100, 200))
    before = {cache.name for cache in await caches.measure()}

    async def kept() -> list[Cache]:
        return [cache for cache in await caches.measure() if is_layer(cache) and cache.name not in before]

    sources = [{"main.py": f"print({number})\n"} for number in (1, 2)]
    commands = [f"head -c {size} /dev/urandom > junk" for size in (3_000_000, 1_000_000)]
    made = []
    for which in (0, 1, 0):
        artifact = await workshop.build(sources[which], build_command=commands[which])
        assert artifact.image
        made.append(artifact.image.reference)
    assert any("cached" in text for text in workshop.heard.texts("build"))

    first, second = await kept()
    # The first source's layers were taken over last.
    assert 1_000_000 <= first.size_bytes < 2_500_000
    assert 3_000_000 <= second.size_bytes < 4_500_000
    async with builder.shelf.shared():
        assert not await caches.remove(first), "somebody builds"
    assert await caches.remove(first)
    assert await caches.remove(first), "twice is harmless"
    assert [cache.name for cache in await kept()] == [second.name]
    assert all([await builder.identify(name) for name in made]), "named images stay"
    await workshop.build(sources[0], build_command=commands[0])
    assert any("cached" in text for text in workshop.heard.texts("build")), "what was used last is still there"


async def test_folder_of_a_cache_mount_is_counted_and_goes(workshop: Workshop) -> None:
    assert isinstance(workshop.store, BuildahImages)
    caches = BuildahCaches(workshop.store.builder)
    await workshop.build({"requirements.txt": "itsdangerous==2.2.0\n", "main.py": "print(1)\n"}, build_command="true")
    mine = next(cache for cache in await caches.measure() if cache.name == "mount wsp_1-uv")
    assert mine.size_bytes > 0
    assert abs((mine.used_at - workshop.site.clock.now()).total_seconds()) < 600
    assert await caches.remove(mine)
    assert not any(cache.name == mine.name for cache in await caches.measure())


async def test_commands_do_not_get_out_of_their_root(workshop: Workshop) -> None:
    canary = workshop.site.home / "canary"
    canary.write_text("a file of the machine's", encoding="utf-8")
    source = {"main.py": "print(1)\n", "escape.py": ESCAPE}
    run = f"FROM lightrail/debian:run\nCOPY escape.py /\nRUN python3 /escape.py {canary}\n"
    await workshop.build(source)
    with pytest.raises(BuildFault, match=r"line 3: .*PermissionError"):
        await workshop.build({**source, "Dockerfile": run})
    assert not any("a file of the machine's" in text for _, text in workshop.heard.lines)


async def test_commands_see_and_reach_no_process_of_the_machine(workshop: Workshop) -> None:
    await workshop.build({"main.py": "print(1)\n"})
    pid = os.getpid()
    run = f"RUN kill -0 {pid} 2>/dev/null && exit 3; test ! -e /proc/{pid} && echo alone"
    await workshop.build({"Dockerfile": f"FROM lightrail/debian:run\n{run}\n"})
    assert "alone" in workshop.heard.texts("build")


@pytest.mark.parametrize("mount", ["type=bind,source=link,target=/x", "type=cache,id=../../x,target=/x"])
async def test_mount_that_leads_into_the_machine_is_refused_with_its_line(workshop: Workshop, mount: str) -> None:
    with pytest.raises(BuildFault, match="line 2: buildah does not keep mounts of this kind inside"):
        await workshop.build({"Dockerfile": f"FROM lightrail/debian:run\nRUN --mount={mount} ls /x\n"})


async def test_build_that_was_killed_leaves_nothing_mounted(workshop: Workshop) -> None:
    assert isinstance(workshop.store, BuildahImages)
    with pytest.raises(BuildFault, match="ran out of memory"):
        await workshop.limited(MODEST).build({"main.py": "print(1)\n"}, build_command=HOG)
    await workshop.store.builder.clean("bld_0")
    assert mounts_below(workshop.store.builder.home) == []

"""A workshop whose images an engine of the platform's own makes."""

from __future__ import annotations

import asyncio
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

from libs.sandbox.spec import Limits
from services.build.adapters.disk import DiskWatch
from services.build.adapters.images.docker import DockerBuilder
from services.build.adapters.images.engine import Daemon, Engine
from services.build.adapters.images.own import OwnEngine
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.remembered import Remembered
from services.build.adapters.images.stores import EngineImages
from services.build.domain.model import Artifact
from tests.contract.workshop import Heard, Workshop, kitchen_of, rooms_of
from tests.integration.build.sites import Site


def docker_workshop(site: Site, own_engine: OwnEngine, stacks: Path, daemon: Daemon | None = None) -> Workshop:
    """On the engine of all tests; `daemon` is another way to see it."""
    engine = Engine(daemon or own_engine, os.environ)
    told = dict(site.builder.registries.environment)
    builder = DockerBuilder(engine, kitchen_of(site, told), stacks, site.blobs, site.clock, rooms_of(site), network="")

    async def run(*words: str) -> bytes:
        argv = [await engine.program(), *words]
        done = await asyncio.to_thread(subprocess.run, argv, env=engine.environment(), capture_output=True, check=True)
        return done.stdout

    async def contents(artifact: Artifact) -> bytes:
        assert artifact.image
        name = artifact.image.reference
        return await run("save", name) + await run("history", "--no-trunc", name)

    async def settings(artifact: Artifact) -> dict[str, Any]:
        assert artifact.image
        found = await engine.inspect(artifact.image.reference)
        assert found
        return dict(found["Config"])

    def pushing(registry: Registry) -> Workshop:
        return Workshop(site, "docker", replace(builder, registry=registry).build)

    async def pull(reference: str, registry: Registry) -> str:
        await engine.run("image", "rm", "--force", reference)
        with registry.credentials() as folder:
            said = await engine.run("pull", "--quiet", reference, extra={"DOCKER_CONFIG": str(folder)})
        assert said.code == 0, said.err
        found = await engine.inspect(reference)
        assert found
        return str(found["Config"]["WorkingDir"])

    def limiting(limits: Limits, disk: DiskWatch | None) -> Workshop:
        rooms = replace(builder.rooms, limits=limits)
        return replace(made, make=replace(builder, rooms=rooms, disk=disk).build, heard=Heard(frozenset()))

    made = Workshop(
        site,
        "docker",
        builder.build,
        contents,
        settings,
        told.__setitem__,
        EngineImages(engine, "tests", Remembered(own_engine)),
        pushing,
        pull,
        limiting,
        own_engine.home,
    )
    return made

"""The docker builder, on an engine of the tests' own."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from libs.plans.faults import BuildFault
from services.build.adapters.images.docker import DockerBuilder
from services.build.adapters.images.engine import Engine
from services.build.adapters.images.recipes import Kitchen
from services.build.domain.model import Artifact
from tests.contract.builder_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.image_suite import *  # noqa: F403 - the same
from tests.contract.workshop import Workshop
from tests.integration.build.sites import Site

# One engine and one stack for all of them.
pytestmark = [pytest.mark.xdist_group("images"), pytest.mark.timeout(400)]


@pytest_asyncio.fixture
async def workshop(
    open_folder: Path, docker_host: str, stacks: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Workshop]:
    site = await Site.open(open_folder / f"docker-{abs(hash(request.node.nodeid)):x}")
    slug, engine = site.builder, Engine(docker_host, os.environ)
    told = dict(slug.registries.environment)
    registries = replace(slug.registries, environment=told)
    kitchen = Kitchen(slug.work, site.home / "build" / "variables.key", registries, "debian", "tests")
    # The engine of the tests has no bridge; registries are reached from the machine's own network.
    builder = DockerBuilder(engine, kitchen, stacks, site.blobs, site.clock, "host")

    async def contents(artifact: Artifact) -> bytes:
        assert artifact.image
        program = await engine.program()
        argv = [program, "save", artifact.image.reference]
        done = await asyncio.to_thread(subprocess.run, argv, env=engine.environment(), capture_output=True, check=True)
        history = [program, "history", "--no-trunc", artifact.image.reference]
        told = await asyncio.to_thread(
            subprocess.run, history, env=engine.environment(), capture_output=True, check=True
        )
        return done.stdout + told.stdout

    async def settings(artifact: Artifact) -> dict[str, Any]:
        assert artifact.image
        found = await engine.inspect(artifact.image.reference)
        assert found
        return dict(found["Config"])

    yield Workshop(site, "docker", builder.build, contents, settings, told.__setitem__)


async def test_the_stack_that_was_never_made_is_named_with_the_verb_that_makes_it(
    open_folder: Path, docker_host: str, tmp_path: Path
) -> None:
    site = await Site.open(open_folder / "docker-without-stack")
    slug = site.builder
    kitchen = Kitchen(slug.work, site.home / "build" / "variables.key", slug.registries, "debian", "tests")
    engine = Engine(docker_host, os.environ)
    builder = DockerBuilder(engine, kitchen, tmp_path, site.blobs, site.clock, "host")
    workshop = Workshop(site, "docker", builder.build)
    for image in ("lightrail/debian:build", "lightrail/debian:run"):
        await engine.remove([image])
    with pytest.raises(BuildFault, match="lr platform stack build"):
        await workshop.build({"main.py": "print(1)\n"})

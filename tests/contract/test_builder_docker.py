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
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.stores import EngineImages
from services.build.domain.model import Artifact
from tests.contract.builder_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.image_suite import *  # noqa: F403 - the same
from tests.contract.workshop import Workshop, kitchen_of, rooms_of
from tests.integration.build.sites import Site

# One engine and one stack for all of them.
pytestmark = pytest.mark.timeout(400)


@pytest_asyncio.fixture
async def workshop(
    open_folder: Path, engine_folder: Path, docker_host: str, stacks: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Workshop]:
    site = await Site.open(open_folder / f"docker-{abs(hash(request.node.nodeid)):x}")
    engine = Engine(docker_host, os.environ)
    told = dict(site.builder.registries.environment)
    # The engine of the tests has no bridge; registries are reached from the machine's own network.
    builder = DockerBuilder(
        engine, kitchen_of(site, told), stacks, site.blobs, site.clock, rooms_of(site), network="host"
    )

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

    yield Workshop(
        site,
        "docker",
        builder.build,
        contents,
        settings,
        told.__setitem__,
        EngineImages(engine, "tests"),
        pushing,
        pull,
        engine_folder / "docker",
    )


async def test_the_stack_that_was_never_made_is_named_with_the_verb_that_makes_it(
    open_folder: Path, docker_host: str, tmp_path: Path
) -> None:
    site = await Site.open(open_folder / "docker-without-stack")
    engine = Engine(docker_host, os.environ)
    builder = DockerBuilder(engine, kitchen_of(site), tmp_path, site.blobs, site.clock, rooms_of(site), network="host")
    with pytest.raises(BuildFault, match="lr platform stack build"):
        await Workshop(site, "docker", builder.build).build({"main.py": "print(1)\n"})


# Both drivers of images follow the same text: what else one makes of a plan, the other does.
@pytest.mark.parametrize(
    ("example", "start"),
    [
        ("flask-pip", "gunicorn app:app --bind 0.0.0.0:$PORT"),
        ("django-mini", "gunicorn mini.wsgi --bind 0.0.0.0:$PORT"),
        ("worker-python", "python worker.py"),
        ("slow-start", "python main.py"),
        ("crash-loop", "python main.py"),
    ],
)
async def test_every_other_example_becomes_an_image_that_starts_it(
    workshop: Workshop, example: str, start: str
) -> None:
    artifact = await workshop.build(example)
    assert artifact.start_command == start
    assert artifact.kind == ("worker" if example == "worker-python" else "web")
    settings = await workshop.settings(artifact)
    assert start in settings["Cmd"][-1]
    assert settings["Labels"]["dev.lightrail.service"] == "svc_1"

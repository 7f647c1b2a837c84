"""The docker builder, on an engine of the tests' own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from libs.plans.faults import BuildFault
from services.build.adapters.images.docker import DockerBuilder
from services.build.adapters.images.engine import Engine
from services.build.adapters.images.own import OwnEngine
from tests.contract.builder_suite import *  # noqa: F403 - the suite's tests run here
from tests.contract.image_suite import *  # noqa: F403 - the same
from tests.contract.workshop import Workshop, kitchen_of, rooms_of
from tests.integration.build.sites import Site

# One engine and one stack for all of them.
pytestmark = [pytest.mark.timeout(400), pytest.mark.asyncio(loop_scope="session")]


@pytest.fixture
def workshop(docker_room: Workshop) -> Workshop:
    return docker_room


async def test_the_stack_that_was_never_made_is_named_with_the_verb_that_makes_it(
    open_folder: Path, own_engine: OwnEngine, tmp_path: Path
) -> None:
    site = await Site.open(open_folder / "docker-without-stack")
    engine = Engine(own_engine, os.environ)
    builder = DockerBuilder(engine, kitchen_of(site), tmp_path, site.blobs, site.clock, rooms_of(site), network="")
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

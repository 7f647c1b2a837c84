"""The docker builder: a plan, or the user's own Dockerfile, built by an engine's BuildKit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from libs.blobs.port import Blobs
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.plans.faults import BuildFault
from libs.plans.images.dockerfile import TEST
from libs.plans.images.stacks import REPOSITORY, missing_stack
from libs.plans.plan import APP, BuildPlan, Step
from libs.stacks.debian import read_stack
from services.build.adapters.images.engine import Engine, away
from services.build.adapters.images.programs import follow
from services.build.adapters.images.progress import Progress
from services.build.adapters.images.recipes import Kitchen, Recipe
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.telling import Teller
from services.build.app.ports import Job, Output
from services.build.domain.model import Artifact, Image

_PUSH_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class DockerBuilt:
    """An image in the engine."""

    builder: DockerBuilder
    job: Job
    plan: BuildPlan
    recipe: Recipe

    async def test(self, step: Step, output: Output) -> None:
        """Runs the recipe's stage that tests."""
        begun = self.builder.clock.monotonic()
        if self.recipe.own:
            raise BuildFault(
                "A source with a Dockerfile of its own runs no test command.", hint="Test in a stage of the Dockerfile."
            )
        await self.builder.run(replace(self.recipe, target=TEST), "", output)
        await output.say(step.name, f"{step.name} took {self.builder.clock.monotonic() - begun:.1f} s")

    async def publish(self, output: Output) -> Artifact:
        """Pushes the image when there is a registry, and stores the manifest."""
        image = await self.builder.published(self.job, output)
        artifact = image_artifact(self.plan, image)
        await self.builder.blobs.put_bytes(artifact.canonical())
        return artifact


@dataclass(frozen=True, slots=True)
class DockerBuilder:
    """Makes images in an engine; `stacks` is the folder of stacks made on this machine, `network` the builds' own."""

    engine: Engine
    kitchen: Kitchen
    stacks: Path
    blobs: Blobs
    clock: Clock
    network: str
    registry: Registry | None = None

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> DockerBuilt:
        """Builds the image."""
        recipe = await asyncio.to_thread(self.kitchen.prepare, job, plan)
        for note in recipe.notes:
            await output.say("detect", f"note: {note}")
        await self._bases(recipe)
        begun = self.clock.monotonic()
        await self.run(recipe, name_of(job), output)
        await output.say("build", f"the image took {self.clock.monotonic() - begun:.1f} s")
        return DockerBuilt(self, job, plan, recipe)

    async def _bases(self, recipe: Recipe) -> None:
        """Sees to it that the stack's own images are there. BuildFault when they were never made."""
        own = [image for image in recipe.bases if image.startswith(f"{REPOSITORY}:")]
        if not own:
            return
        stack = await asyncio.to_thread(read_stack, self.stacks)
        if stack is None:
            for image in own:
                if await self.engine.inspect(image) is None:
                    raise missing_stack(image)
            return
        await self.engine.load(Path(stack.archive), {image: stack.images[image] for image in own})

    async def run(self, recipe: Recipe, name: str, output: Output) -> None:
        """Builds a recipe's target; without a name only to see whether it can be built. BuildFault when it cannot."""
        progress, teller = Progress(), Teller(recipe, output)

        async def hear(line: str) -> None:
            for event in progress.read(line):
                await teller.tell(event)

        argv = [await self.engine.program(), *self._words(recipe, name)]
        code = await follow(argv, self.engine.environment(recipe.inherited), hear)
        await teller.close()
        if code != 0:
            if away(progress.last):
                raise Unavailable(f"The container engine does not answer: {progress.last}")
            raise teller.fault(progress.failed, progress.code, progress.last)

    def _words(self, recipe: Recipe, name: str) -> Sequence[str]:
        words = ["build", "--progress=plain", "--file", str(recipe.dockerfile)]
        words += ["--tag", name] if name else []
        words += [word for pair in recipe.labels.items() for word in ("--label", "=".join(pair))]
        words += [word for pair in recipe.arguments.items() for word in ("--build-arg", "=".join(pair))]
        words += [word for one in recipe.inherited for word in ("--build-arg", one)]
        words += [word for one, path in recipe.secrets.items() for word in ("--secret", f"id={one},src={path}")]
        words += ["--network", self.network] if self.network else []
        words += ["--target", recipe.target] if recipe.target else []
        return [*words, str(recipe.context)]

    async def published(self, job: Job, output: Output) -> Image:
        """The image as it can be had: from the registry by its digest, else from the engine."""
        name = name_of(job)
        found = await self.engine.inspect(name)
        if found is None:
            raise Unavailable(f"The engine lost the image {name} that it had just made.")
        if self.registry is None:
            return Image(name, found["Id"], found["Size"])
        there = self.registry.name(job.build.service_id.lower(), job.build.id.lower())
        await self.engine.run("image", "tag", name, there)
        with self.registry.credentials() as folder:
            extra = {"DOCKER_CONFIG": str(folder)}
            said = await self.engine.run("push", "--quiet", there, seconds=_PUSH_SECONDS, extra=extra)
        if said.code != 0:
            raise Unavailable(f"The image could not be pushed to {self.registry.address}: {said.err.strip()[-300:]}")
        pushed = await self.engine.inspect(there) or {}
        prefix = there.rsplit(":", 1)[0] + "@"
        reference = next((one for one in pushed.get("RepoDigests", []) if one.startswith(prefix)), "")
        if not reference:
            raise Unavailable(f"The registry {self.registry.address} took the image but gave no digest for it.")
        await output.say("publish", f"pushed {reference}")
        return Image(reference, reference.removeprefix(prefix), found["Size"])


def name_of(job: Job) -> str:
    """What the image of a build is called on this machine."""
    return f"lightrail/{job.build.service_id.lower()}:{job.build.id.lower()}"


def image_artifact(plan: BuildPlan, image: Image) -> Artifact:
    """The artifact that an image is: its environment and its layers are inside."""
    return Artifact(
        layers=(),
        start_command=plan.start_command,
        working_directory=APP,
        kind=plan.kind,
        provider=plan.provider,
        image=image,
    )

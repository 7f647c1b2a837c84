"""The docker builder: a plan, or the user's own Dockerfile, built by an engine's BuildKit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.blobs.port import Blobs
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.plans.faults import BuildFault
from libs.plans.images.stacks import REPOSITORY, missing_stack
from libs.plans.plan import APP, BuildPlan
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
class DockerBuilder:
    """Makes images in an engine; `stacks` is the folder of stacks made on this machine, `network` the builds' own."""

    engine: Engine
    kitchen: Kitchen
    stacks: Path
    blobs: Blobs
    clock: Clock
    network: str
    registry: Registry | None = None

    async def execute(self, job: Job, plan: BuildPlan, output: Output) -> Artifact:
        """Builds, pushes when there is a registry, stores the manifest."""
        recipe = await asyncio.to_thread(self.kitchen.prepare, job, plan)
        for note in recipe.notes:
            await output.say("detect", f"note: {note}")
        await self._bases(recipe)
        name = name_of(job)
        begun = self.clock.monotonic()
        await self._build(recipe, name, output)
        await output.say("build", f"the image took {self.clock.monotonic() - begun:.1f} s")
        image = await self._published(job, name, output)
        artifact = image_artifact(plan, image)
        await self.blobs.put_bytes(artifact.canonical())
        return artifact

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

    async def _build(self, recipe: Recipe, name: str, output: Output) -> None:
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
        words = ["build", "--progress=plain", "--file", str(recipe.dockerfile), "--tag", name]
        words += [word for pair in recipe.labels.items() for word in ("--label", "=".join(pair))]
        words += [word for pair in recipe.arguments.items() for word in ("--build-arg", "=".join(pair))]
        words += [word for one in recipe.inherited for word in ("--build-arg", one)]
        words += [word for one, path in recipe.secrets.items() for word in ("--secret", f"id={one},src={path}")]
        words += ["--network", self.network] if self.network else []
        words += ["--target", recipe.target] if recipe.target else []
        return [*words, str(recipe.context)]

    async def _published(self, job: Job, name: str, output: Output) -> Image:
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


def refuse(builder: str, reason: str) -> BuildFault:
    """What is said when this platform cannot build with `builder`."""
    return BuildFault(
        f"This platform has no builder “{builder}”: {reason}",
        hint="Have the operator install it, or leave “builder” out.",
    )

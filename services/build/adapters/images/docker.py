"""The docker builder: a plan, or the user's own Dockerfile, built by an engine's BuildKit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.blobs.port import Blobs
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.plans.plan import BuildPlan
from services.build.adapters.disk import TICK, DiskWatch, Written
from services.build.adapters.images.built import ImageBuilt, make, name_of, of_stack, stack_for
from services.build.adapters.images.engine import Engine, away, lost
from services.build.adapters.images.programs import follow
from services.build.adapters.images.progress import Progress
from services.build.adapters.images.recipes import Kitchen, Recipe
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.rooms import Rooms
from services.build.adapters.images.telling import Teller
from services.build.app.ports import Job, Output
from services.build.domain.model import Image

_PUSH_SECONDS: Final = 600.0
_UNCAPPED: Final = (
    "note: this engine is not the platform's own: what the build takes of memory, CPU, processes and disk is not capped"
)


@dataclass(frozen=True, slots=True)
class DockerBuilder:
    """Makes images in an engine; `stacks` is the folder of stacks made on this machine, `network` the builds' own."""

    engine: Engine
    kitchen: Kitchen
    stacks: Path
    blobs: Blobs
    clock: Clock
    rooms: Rooms
    network: str
    registry: Registry | None = None
    disk: DiskWatch | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return "docker"

    async def identify(self, image: str) -> str:
        """The id of an image in the engine; empty when it has none of that name."""
        found = await self.engine.inspect(image)
        return str(found["Id"]) if found else ""

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> ImageBuilt:
        """Builds the image."""
        recipe = await asyncio.to_thread(self.kitchen.prepare, job, plan)
        if self.engine.daemon.store is None:
            await output.say("detect", _UNCAPPED)
        await self._bases(recipe)
        return await make(self, job, plan, recipe, output)

    async def clean(self, build_id: str) -> None:
        """Ends what a killed process of this build's left: the engine follows."""
        await self.rooms.end(build_id)

    async def _bases(self, recipe: Recipe) -> None:
        """Sees to it that the stack's own images are there. BuildFault when they were never made."""
        own = of_stack(recipe)
        if not own:
            return
        stack = await asyncio.to_thread(stack_for, self.stacks, own)
        await self.engine.load(Path(stack.archive), {image: stack.images[image] for image in own})

    async def run(self, job: Job, recipe: Recipe, name: str, output: Output) -> None:
        """Builds a recipe's target; without a name only to see whether it can be built. BuildFault when it cannot."""
        progress, teller = Progress(), Teller(recipe, output)

        async def hear(line: str) -> None:
            for event in progress.read(line):
                await teller.tell(event)

        @asynccontextmanager
        async def waiting() -> AsyncIterator[None]:
            await output.say("build", "waiting for the engine, which builds for one at a time: another build has it")
            with job.waiting():
                yield

        argv = [await self.engine.program(), *self._words(recipe, name)]
        async with self.engine.daemon.building(self.rooms.limits, waiting) as out_of_memory, self._watched():
            async with self.rooms.room(job.build.id) as group:
                doors = group.doors if group else ()
                code = await follow(argv, self.engine.environment(recipe.inherited), hear, doors=doors)
            killed = out_of_memory()
        await teller.close()
        if code != 0:
            if killed:
                raise teller.out_of_memory(progress.failed, self.rooms.limits.memory_bytes)
            # An instruction that failed is the engine's word: it was there then.
            if not progress.failed and (away(progress.last) or lost(progress.last)):
                raise Unavailable(f"The container engine does not answer: {progress.last}")
            raise teller.fault(progress.failed, progress.code, progress.last)

    def _watched(self) -> AbstractAsyncContextManager[None]:
        """What the build writes in the engine is watched when the engine is the platform's own."""
        store = self.engine.daemon.store
        if self.disk is None or store is None:
            return nullcontext()
        since = self.clock.now().timestamp() - TICK
        return self.disk(Written(store, lambda: [store], since, self.engine.daemon.members))

    def _words(self, recipe: Recipe, name: str) -> Sequence[str]:
        words = ["build", "--progress=plain", *recipe.caching, "--file", str(recipe.dockerfile)]
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

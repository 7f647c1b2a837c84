"""What every builder of images gives back: an image that can be tested, and published."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from libs.blobs.port import Blobs
from libs.kernel.clock import Clock
from libs.kernel.units import show_bytes
from libs.plans.faults import BuildFault
from libs.plans.images.dockerfile import TEST
from libs.plans.images.stacks import REPOSITORY, missing_stack
from libs.plans.plan import APP, BuildPlan, Step
from libs.stacks.debian import Stack, read_stack
from services.build.adapters.images.recipes import Recipe
from services.build.app.ports import Job, Output
from services.build.domain.model import Artifact, Image
from services.build.domain.provenance import Material, Origin


class Driver(Protocol):
    """The part of a driver that follows a recipe."""

    @property
    def blobs(self) -> Blobs:
        """Where manifests are kept."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    @property
    def name(self) -> str:
        """What it is called: docker or buildah."""
        ...

    async def identify(self, image: str) -> str:
        """The id of an image on this machine, as sha256:<hex>; empty when it has none of that name."""
        ...

    async def run(self, job: Job, recipe: Recipe, name: str, output: Output) -> None:
        """Builds a recipe's target; without a name only to see whether it can be built. BuildFault when it cannot."""
        ...

    async def published(self, job: Job, output: Output) -> Image:
        """The image as it can be had: from the registry by its digest, else from this machine."""
        ...


@dataclass(frozen=True, slots=True)
class ImageBuilt:
    """An image on this machine."""

    driver: Driver
    job: Job
    plan: BuildPlan
    recipe: Recipe
    origin: Origin

    async def test(self, step: Step, output: Output) -> None:
        """Runs the recipe's stage that tests."""
        begun = self.driver.clock.monotonic()
        if self.recipe.own:
            raise BuildFault(
                "A source with a Dockerfile of its own runs no test command.", hint="Test in a stage of the Dockerfile."
            )
        await self.driver.run(self.job, replace(self.recipe, target=TEST), "", output)
        await output.say(step.name, f"{step.name} took {self.driver.clock.monotonic() - begun:.1f} s")

    async def publish(self, output: Output) -> Artifact:
        """Pushes the image when there is a registry, and stores the manifest."""
        image = await self.driver.published(self.job, output)
        await output.say("publish", f"image {image.reference}, {image.digest}, {show_bytes(image.size_bytes)}")
        artifact = Artifact(
            layers=(),
            # Its environment and its files are inside.
            start_command=self.plan.start_command,
            working_directory=APP,
            kind=self.plan.kind,
            provider=self.plan.provider,
            image=image,
        )
        await self.driver.blobs.put_bytes(artifact.canonical())
        return artifact


async def make(driver: Driver, job: Job, plan: BuildPlan, recipe: Recipe, output: Output) -> ImageBuilt:
    """Builds the image of a recipe."""
    for note in recipe.notes:
        await output.say("detect", f"note: {note}")
    begun = driver.clock.monotonic()
    await driver.run(job, recipe, name_of(job), output)
    await output.say("build", f"the image took {driver.clock.monotonic() - begun:.1f} s")
    used = [Material(one, await driver.identify(one)) for one in dict.fromkeys(recipe.bases)]
    text = await asyncio.to_thread(recipe.dockerfile.read_bytes)
    used.append(Material("Dockerfile", f"sha256:{hashlib.sha256(text).hexdigest()}"))
    return ImageBuilt(driver, job, plan, recipe, Origin(driver.name, tuple(used)))


def name_of(job: Job) -> str:
    """What the image of a build is called on this machine."""
    return f"lightrail/{job.build.service_id.lower()}:{job.build.id.lower()}"


def of_stack(recipe: Recipe) -> list[str]:
    """The images of the stack made on this machine that a recipe stands on."""
    return [image for image in recipe.bases if image.startswith(f"{REPOSITORY}:")]


def stack_for(folder: Path, images: list[str]) -> Stack:
    """The stack in `folder`. BuildFault when it was never made."""
    stack = read_stack(folder)
    if stack is None:
        raise missing_stack(images[0])
    return stack

"""The platform's one builder: passes each build on to the driver that its plan names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan
from libs.plans.tree import Tree
from services.build.adapters.slug import SlugBuilder
from services.build.app.building import Built
from services.build.app.keeping import BuilderCaches, Images
from services.build.app.ports import Job, Output
from services.build.domain.model import Artifact


class ImageBuilder(Protocol):
    """A driver that makes images of a source that is laid out already."""

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> Built:
        """Does what the plan says."""
        ...

    async def clean(self, build_id: str) -> None:
        """Ends every program of this build; harmless when there is none."""
        ...


@dataclass(frozen=True, slots=True)
class ChosenBuilder:
    """The slug builder, and image builders by name."""

    slug: SlugBuilder
    images: Mapping[str, ImageBuilder]
    # What builds when neither service nor source say so.
    default: str
    # What they may name beside it.
    allowed: frozenset[str]
    # Whether what runs the results can run images.
    runs_images: bool
    own_secrets: frozenset[str] = frozenset()
    # Where their images lie, for collections.
    stores: tuple[Images, ...] = ()
    # What they keep for the next build, for the same.
    caches: tuple[BuilderCaches, ...] = ()

    @property
    def secrets(self) -> frozenset[str]:
        """Values of the machine's own configuration that no log may show."""
        return self.slug.secrets | self.own_secrets

    async def fetch(self, job: Job) -> Tree:
        """Lays the source out in a fresh work directory."""
        return await self.slug.fetch(job)

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> Built:
        """Does what the plan says, with the driver that it names."""
        if not plan.builder:
            if plan.provider == "dockerfile":
                raise self._needs_images(plan)
            return await self.slug.build(job, plan, output)
        if plan.builder not in {self.default, *self.allowed}:
            raise self._forbidden(plan.builder)
        if not self.runs_images:
            if plan.builder == self.default:
                raise self._cannot_run(plan.builder)
            await output.say(
                "detect",
                "note: what runs applications on this platform cannot run images; this one can be built and pushed, "
                "but not started here.",
            )
        return await self.images[plan.builder].build(job, plan, output)

    async def machine(self, plan: BuildPlan) -> Mapping[str, Any] | None:
        """What of this machine a build depends on; of an image that cannot be told: the images it stands on move."""
        if plan.builder or plan.provider == "dockerfile":
            return None
        return await self.slug.machine(plan)

    async def holds(self, artifact: Artifact) -> bool:
        """Whether everything that the artifact names is still there."""
        return await self.slug.holds(artifact)

    async def clean(self, build_id: str) -> None:
        """Removes every work directory of this build."""
        for builder in self.images.values():
            await builder.clean(build_id)
        await self.slug.clean(build_id)

    def _needs_images(self, plan: BuildPlan) -> BuildFault:
        return BuildFault(
            f"This source is built by its {plan.evidence[0]}, which needs an image builder; this platform builds with "
            f"“{self.default}”.",
            hint='Write builder = "docker" (or "buildah") below [build] in lightrail.toml, or provider = "auto" to '
            "build the source itself.",
        )

    def _forbidden(self, builder: str) -> BuildFault:
        return BuildFault(
            f"The operator of this platform has not allowed builds with “{builder}”.",
            hint=f"Have LIGHTRAIL_BUILDERS={','.join(sorted({*self.allowed, builder}))} set; or name another builder.",
        )

    def _cannot_run(self, builder: str) -> BuildFault:
        return BuildFault(
            f"This platform builds images (“{builder}”), but it runs applications as processes, which cannot run an "
            "image: that needs the docker runtime.",
            hint="Have the operator set LIGHTRAIL_BUILDER=slug; or name the builder in lightrail.toml to build the "
            "image all the same.",
        )

"""What build does when deploy tells something. Each is safe to repeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from services.build.app.calloff import CallOff
from services.build.app.ports import Builds
from services.build.domain.model import Build, BuildState
from services.build.domain.source import GitWish


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be built; neither a snapshot nor a commit: nothing."""

    deployment_id: str
    workspace_id: str
    project_id: str
    service_id: str
    environment_id: str
    snapshot_id: str
    git: GitWish | None = None


class PushedRepositories(Protocol):
    """The repositories that are pushed to."""

    async def drop(self, service_id: str) -> None:
        """Removes a service's; harmless when there are none."""
        ...


@dataclass(frozen=True, slots=True)
class Reactions:
    """Use cases begun by facts."""

    builds: Builds
    call_off: CallOff
    repositories: PushedRepositories
    clock: Clock

    async def deployment_requested(self, wanted: Wanted) -> None:
        """Queues a build, once per deployment; nothing when there is nothing to build."""
        if not wanted.snapshot_id and wanted.git is None:
            return
        await self.builds.add(
            Build(
                id=new_id("build", self.clock),
                workspace_id=wanted.workspace_id,
                project_id=wanted.project_id,
                service_id=wanted.service_id,
                environment_id=wanted.environment_id,
                deployment_id=wanted.deployment_id,
                snapshot_id=wanted.snapshot_id,
                state=BuildState.QUEUED,
                created_at=self.clock.now(),
                git=wanted.git,
            )
        )

    async def deployment_unwanted(self, deployment_id: str) -> None:
        """Calls off the build of a deployment that does not want it any more; nothing when it has ended."""
        build = await self.builds.of_deployment(deployment_id, None)
        if build is not None:
            await self.call_off(build, "The deployment does not need this build any more.")

    async def newer_queued(self, deployment_id: str, service_id: str, environment_id: str) -> None:
        """Ends older builds of the same service and environment that nobody has begun; never one under way."""
        await self.call_off.supersede(deployment_id, service_id, environment_id)

    async def service_deleted(self, service_id: str) -> None:
        """Lets go of what is kept for rollbacks of a service that is gone; the next collection removes it."""
        await self.builds.retire(service_id, self.clock.now())
        await self.repositories.drop(service_id)

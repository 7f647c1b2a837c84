"""Ends a build that nobody wants, whoever works on it."""

from __future__ import annotations

from dataclasses import dataclass

from libs.kernel.clock import Clock
from services.build.app.ports import Builds, Facts, Log, Work
from services.build.app.wakes import Wakes
from services.build.domain.facts import BuildCancelled
from services.build.domain.model import Build


@dataclass(frozen=True, slots=True)
class CallOff:
    """The state changes at once; who works on the build sees that and stops within two seconds."""

    work: Work
    facts: Facts
    builds: Builds
    log: Log
    wakes: Wakes
    clock: Clock

    async def __call__(self, build: Build, reason: str) -> None:
        """Cancels the build; nothing when it has ended."""
        now = self.clock.now()
        async with self.work():
            if await self.builds.cancel(build.id, now, reason):
                await self.log.close(build, now, reason)
                await self.facts.record(BuildCancelled(build.id, build.deployment_id, build.workspace_id))
        self.wakes.wake(build.id)

    async def supersede(self, deployment_id: str, service_id: str, environment_id: str) -> None:
        """Cancels the queued builds of the pair's older deployments; who asks is in a transaction."""
        now = self.clock.now()
        reason = f"Superseded by {deployment_id} before it began."
        async with self.work():
            ended = await self.builds.supersede(deployment_id, service_id, environment_id, now, reason)
            for build in ended:
                await self.log.close(build, now, reason)
                told = BuildCancelled(build.id, build.deployment_id, build.workspace_id, superseded_by=deployment_id)
                await self.facts.record(told)
        for build in ended:
            self.wakes.wake(build.id)

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
                await self.log.close(build.id, now, reason)
                await self.facts.record(BuildCancelled(build.id, build.deployment_id, build.workspace_id))
        self.wakes.wake(build.id)

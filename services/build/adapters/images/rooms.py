"""Control groups around the programs of image builds: caps, and the certainty that none outlives its build."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from libs.kernel.clock import Clock
from libs.sandbox.cgroups import Group, Groups
from libs.sandbox.spec import Limits

_LOOK: Final = 0.02
_PATIENCE: Final = 100


@dataclass(frozen=True, slots=True)
class Rooms:
    """Makes a group for each run of a build; `groups` is None where this process may make none."""

    groups: Groups | None
    limits: Limits
    clock: Clock

    @asynccontextmanager
    async def room(self, build_id: str) -> AsyncIterator[Group | None]:
        """A group with the caps; whatever is left in it at the end is killed."""
        if self.groups is None:
            yield None
            return
        group = self.groups.make(build_id, self.limits)
        try:
            yield group
        finally:
            await self.end(build_id)

    async def end(self, build_id: str) -> None:
        """Kills what a build's programs left, also those that a killed process began; harmless when there is none."""
        groups = self.groups.keys() if self.groups else set()
        if self.groups is None or build_id not in groups:
            return
        group = self.groups.group(build_id)
        for _ in range(_PATIENCE):
            group.kill()
            if group.remove():
                break
            await self.clock.sleep(_LOOK)
        self.groups.fold()

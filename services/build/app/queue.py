"""Lets builds begin when there is room, and says of the others why they wait; nobody waits for ever."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol

from libs.kernel.clock import Clock
from services.build.app.ports import Builds, Facts, Log, Work
from services.build.app.wakes import Wakes
from services.build.domain.facts import BuildFailed
from services.build.domain.queue import Admission, Free, Held, Rules, admit

# The numbers in the sentence of a waiting build are as old as this at most.
NUMBERS: Final = timedelta(seconds=10)


class Machine(Protocol):
    """Where builds run."""

    async def free(self) -> Free:
        """What it has left now."""
        ...


@dataclass(slots=True)
class Queue:
    """Use case of the build loop: who begins next. `patience` is how long a build may wait."""

    work: Work
    facts: Facts
    builds: Builds
    log: Log
    wakes: Wakes
    machine: Machine
    clock: Clock
    rules: Rules
    patience: timedelta
    _told: dict[str, tuple[Held, datetime]] = field(default_factory=dict)
    # Since when each has had to wait while this process looked: time without a platform does not count.
    _since: dict[str, datetime] = field(default_factory=dict)

    async def next(self, here: Collection[str]) -> list[str]:
        """Builds that may begin now, in the order of their turn; `here` are those this process is at."""
        now = self.clock.now()
        waiting = [one for one in await self.builds.waiting(now) if one.id not in here]
        if not waiting:
            self._told, self._since = {}, {}
            return []
        running = [one.workspace_id for one in await self.builds.running(now)]
        found = admit(waiting, running, len(here), self.rules, await self.machine.free())
        self._since = {build_id: self._since.get(build_id, now) for build_id in found.held}
        await self._tell(found, now)
        await self._end_patience(now)
        return found.begin

    async def _tell(self, found: Admission, now: datetime) -> None:
        """Writes down why they wait: in the log when the kind of reason changes, in the state also its numbers."""
        before, self._told = self._told, {}
        for build_id, held in found.held.items():
            known = before.get(build_id)
            if known is not None and known[0].kind == held.kind and now - known[1] < NUMBERS:
                self._told[build_id] = known
                continue
            if await self.builds.held(build_id, held.text):
                self._told[build_id] = (held, now)
                if known is None or known[0].kind != held.kind:
                    await self.log.note(build_id, now, held.text)
                    self.wakes.wake(build_id)

    async def _end_patience(self, now: datetime) -> None:
        tired = [build_id for build_id, since in self._since.items() if now - since >= self.patience]
        if not tired:
            return
        minutes = f"{self.patience.total_seconds() / 60:.0f} minutes"
        async with self.work():
            ended = await self.builds.tired(tired, now, f"The build could not begin for {minutes}")
            for build in ended:
                await self.log.close(build, now, build.reason)
                told = BuildFailed(build.id, build.deployment_id, build.workspace_id, build.reason)
                await self.facts.record(told)
        for build in ended:
            self.wakes.wake(build.id)

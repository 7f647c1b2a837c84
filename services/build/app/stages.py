"""How far one attempt is: its stages, written down as they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from libs.kernel.clock import Clock
from libs.plans.faults import BuildFault
from services.build.app.ports import Builds, Lease
from services.build.domain.source import NothingChanged
from services.build.domain.stages import NOTHING_DONE, Stage, StageName, StageState, settled


@dataclass(slots=True)
class Note:
    """What a stage says of itself when it has ended well."""

    detail: str = ""


class Board:
    """One attempt's stages."""

    def __init__(self, builds: Builds, lease: Lease, clock: Clock) -> None:
        self._builds = builds
        self._lease = lease
        self._clock = clock
        self._stages: dict[StageName, Stage] = {stage.name: stage for stage in NOTHING_DONE}
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def stage(self, name: StageName) -> AsyncIterator[Note]:
        """A stage while its body runs; a BuildFault in there is its failure, written with the build's end."""
        self._set(name, state=StageState.RUNNING, started_at=self._clock.now())
        await self._write()
        note = Note()
        try:
            yield note
        except NothingChanged as why:
            self._set(name, state=StageState.SUCCEEDED, finished_at=self._clock.now(), detail=str(why))
            raise
        except BuildFault as fault:
            self._set(name, state=StageState.FAILED, finished_at=self._clock.now(), detail=str(fault))
            raise
        self._set(name, state=StageState.SUCCEEDED, finished_at=self._clock.now(), detail=note.detail)
        await self._write()

    def skip(self, name: StageName, why: str) -> None:
        """The stage has nothing to do; written with the next change."""
        self._set(name, state=StageState.SKIPPED, detail=why)

    @property
    def reached(self) -> StageName:
        """The stage that failed; else the one under way, else the next."""
        for state in (StageState.FAILED, StageState.RUNNING, StageState.PENDING):
            for stage in self._stages.values():
                if stage.state is state:
                    return stage.name
        return StageName.PUBLISH

    def ended(self, reason: str) -> tuple[Stage, ...]:
        """All stages, when the build has ended; `reason` is why it failed."""
        return settled(tuple(self._stages.values()), self._clock.now(), reason)

    def _set(self, name: StageName, **changes: object) -> None:
        self._stages[name] = replace(self._stages[name], **changes)  # type: ignore[arg-type]  # fields by their names

    async def _write(self) -> None:
        # One after the other: what is written last is what is true last.
        async with self._writing:
            await self._builds.staged(self._lease, tuple(self._stages.values()))

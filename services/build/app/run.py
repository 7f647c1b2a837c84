"""Runs one build: snapshot, detect, plan, execute, publish; restarted from the beginning when its process died."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.errors import Failure, Unavailable
from libs.plans.faults import BuildFault
from services.build.app.building import Builder
from services.build.app.deadline import Deadline
from services.build.app.pipeline import Attempt, Pipeline
from services.build.app.ports import Artifacts, Builds, Facts, Lease, Log, Work
from services.build.app.reuse import Result
from services.build.app.stages import Board
from services.build.app.wakes import Wakes
from services.build.app.writer import PERIOD, Writer
from services.build.domain.facts import BuildFailed, BuildSkipped, BuildStarted, BuildSucceeded
from services.build.domain.model import MOST_ATTEMPTS, Build, BuildState
from services.build.domain.source import NothingChanged

# Seconds a dead process's build waits for another.
LEASE: Final = 8.0
RENEW: Final = 2.0
# Seconds between two looks whether the build was called off.
LOOK: Final = 0.5
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Fault:
    """The user's fault: the build failed, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Needless:
    """Nobody's fault: there is nothing to build, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broken:
    """The platform's fault: worth another try."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Ended:
    """How a build ended here (succeeded, failed, skipped, cancelled), and after how many seconds."""

    how: str
    seconds: float


@dataclass(frozen=True, slots=True)
class BuildRunner:
    """Use case of the build loop; `owner` names this process among others, `deadline` is in seconds."""

    work: Work
    facts: Facts
    builds: Builds
    log: Log
    artifacts: Artifacts
    builder: Builder
    pipeline: Pipeline
    wakes: Wakes
    clock: Clock
    owner: str
    deadline: float

    async def run(self, build_id: str) -> Ended | None:
        """Brings the build to its end, or raises what makes another try worthwhile; None when it was not to be had."""
        begun = self.clock.monotonic()
        if await self._gave_up(build_id):
            await self.builder.clean(build_id)
            return Ended("failed", self.clock.monotonic() - begun)
        claimed = await self._claim(build_id)
        if claimed is None:
            return None
        build, lease = claimed
        writer = Writer(self.log, lease, self.wakes, self.clock, after=await self.log.last(build.id))
        attempt = Attempt(build, lease, Board(self.builds, lease, self.clock), writer, Deadline(self.deadline))
        try:
            outcome = await self._guarded(attempt)
            if outcome is not None:
                await self._settle(attempt, outcome)
        except BaseException:
            # The platform stops, or something it needs is away: the next try need not wait for the lease.
            await self._give_back(lease)
            raise
        await self.builder.clean(build.id)
        return Ended(_how(outcome), self.clock.monotonic() - begun)

    async def _gave_up(self, build_id: str) -> bool:
        """Fails a build that ended its process again and again: it would go on to end the platform's."""
        now = self.clock.now()
        reason = (
            f"The build was started {MOST_ATTEMPTS} times and each time the platform's build process died, so it was"
            " given up. The machine may be short of memory: lower what the build uses, or deploy again to try anew."
        )
        async with self.work():
            build = await self.builds.give_up(build_id, MOST_ATTEMPTS, now, reason)
            if build is not None:
                await self.log.close(build, now, f"Build failed: {reason}")
                await self.facts.record(BuildFailed(build.id, build.deployment_id, build.workspace_id, reason))
        if build is not None:
            self.wakes.wake(build.id)
        return build is not None

    async def _claim(self, build_id: str) -> tuple[Build, Lease] | None:
        now = self.clock.now()
        async with self.work():
            build = await self.builds.claim(build_id, self.owner, now, now + timedelta(seconds=LEASE))
            if build is None:
                return None
            if build.attempt == 1:
                await self.facts.record(BuildStarted(build.id, build.deployment_id, build.workspace_id))
        return build, Lease(build.id, self.owner, build.attempt)

    async def _guarded(self, attempt: Attempt) -> Result | Fault | Needless | Broken | None:
        """What came of it; None when the build was called off or taken over meanwhile."""
        async with asyncio.TaskGroup() as group:
            work = group.create_task(self._attempt(attempt), name=f"build:{attempt.build.id}")
            beside = [
                group.create_task(self._watch(attempt.lease, work), name=f"watch:{attempt.build.id}"),
                group.create_task(self._write(attempt.writer), name=f"log:{attempt.build.id}"),
            ]
            await asyncio.wait([work])
            for task in beside:
                task.cancel()
        return None if work.cancelled() else work.result()

    async def _attempt(self, attempt: Attempt) -> Result | Fault | Needless | Broken:
        try:
            if attempt.build.attempt > 1:
                await attempt.writer.say("fetch", "The build was interrupted; it starts again from the beginning.")
            await self.builder.clean(attempt.build.id)
            async with attempt.deadline.kept():
                return await self.pipeline.run(attempt)
        except BuildFault as fault:
            return Fault(str(fault))
        except NothingChanged as why:
            return Needless(str(why))
        except Exception as error:  # noqa: BLE001 - any other fault is the platform's: told apart here, raised in run()
            if isinstance(error, TimeoutError) and attempt.deadline.expired:
                return Fault(f"The build took longer than {_minutes(self.deadline)}, so it was stopped.")
            said = _for_good(error)
            return Fault(said) if said else Broken(error)

    async def _watch(self, lease: Lease, work: asyncio.Task[Result | Fault | Needless | Broken]) -> None:
        """Keeps the lease, and stops the work when it is lost."""
        renewed = self.clock.monotonic()
        while not work.done():
            await self.clock.sleep(LOOK)
            try:
                if self.clock.monotonic() - renewed >= RENEW:
                    renewed = self.clock.monotonic()
                    good = await self.builds.renew(lease, self.clock.now() + timedelta(seconds=LEASE))
                else:
                    good = await self.builds.holds(lease)
            except Unavailable:
                continue  # the database is away: looked at again soon, and nothing can be published without it
            if not good:
                work.cancel()
                return

    async def _write(self, writer: Writer) -> None:
        while True:
            await self.clock.sleep(PERIOD)
            try:
                await writer.write()
            except Unavailable:
                continue  # the lines wait, and so do the programs once there are too many

    async def _settle(self, attempt: Attempt, outcome: Result | Fault | Needless | Broken) -> None:
        build, lease, writer = attempt.build, attempt.lease, attempt.writer
        if isinstance(outcome, Broken):
            if build.attempt < MOST_ATTEMPTS:
                await writer.say(attempt.board.reached, f"The platform could not go on: {outcome.error}")
                await writer.write()
                raise outcome.error
            outcome = Fault(f"The platform could not build this, {MOST_ATTEMPTS} times: {outcome.error}")
        if isinstance(outcome, Fault):
            await writer.say(attempt.board.reached, f"Build failed: {outcome.reason}")
        elif isinstance(outcome, Needless):
            await writer.say("fetch", f"Skipped: {outcome.reason}")
        else:
            await writer.say("publish", f"artifact {outcome.artifact.digest}")
        await writer.write()
        now = self.clock.now()
        async with self.work():
            reason = "" if isinstance(outcome, Result) else outcome.reason
            await self.builds.staged(lease, attempt.board.ended(reason))
            if isinstance(outcome, Result):
                await self._succeed(build, lease, outcome)
            elif isinstance(outcome, Needless):
                if await self.builds.finish(lease, BuildState.CANCELLED, now, reason=reason):
                    await self.facts.record(BuildSkipped(build.id, build.deployment_id, build.workspace_id, reason))
            elif await self.builds.finish(lease, BuildState.FAILED, now, reason=outcome.reason):
                await self.facts.record(BuildFailed(build.id, build.deployment_id, build.workspace_id, outcome.reason))
        self.wakes.wake(build.id)

    async def _succeed(self, build: Build, lease: Lease, result: Result) -> None:
        now, artifact, provenance = self.clock.now(), result.artifact, result.provenance_digest
        if await self.builds.finish(
            lease,
            BuildState.SUCCEEDED,
            now,
            artifact_digest=artifact.digest,
            provenance_digest=provenance,
            inputs=result.inputs,
        ):
            await self.artifacts.add(artifact, build.workspace_id, now, provenance)
            await self.facts.record(
                BuildSucceeded(build.id, build.deployment_id, build.workspace_id, artifact.digest, artifact.kind)
            )

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self.builds.release(lease, self.clock.now())
        except Unavailable:
            return  # the lease runs out by itself, and what is wrong is being raised


def _how(outcome: Result | Fault | Needless | Broken | None) -> str:
    if outcome is None:
        return "cancelled"
    if isinstance(outcome, Result):
        return "succeeded"
    return "skipped" if isinstance(outcome, Needless) else "failed"


def _for_good(error: Exception) -> str:
    """What a person is told of a failure that another try at once would only meet again; empty: it is worth one."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return (
            "The disk that holds the platform's data is full, so the build stopped. Make room on it"
            " (lr platform collect removes what nobody needs), then deploy again."
        )
    return str(error) if isinstance(error, Failure) and not isinstance(error, Unavailable) else ""


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} seconds"  # noqa: PLR2004 - two minutes

"""The stages of one attempt: fetch, detect, then the scan beside build and test, then publish."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.errors import Failure, Unavailable
from libs.plans.detect import make_plan
from libs.plans.faults import BuildFault
from libs.plans.plan import SLUG, BuildPlan, PlanSettings
from libs.plans.tree import Tree
from services.build.app.building import Attestations, Builder, Built, Scanner
from services.build.app.deadline import Deadline
from services.build.app.fetching import Fetching
from services.build.app.ports import Builds, Job, Lease, Projects, Variables
from services.build.app.reuse import Earlier, Result, Reuse
from services.build.app.stages import Board
from services.build.app.writer import Writer
from services.build.domain.log import credentials
from services.build.domain.model import Build
from services.build.domain.provenance import Made, statement
from services.build.domain.reuse import inputs
from services.build.domain.stages import StageName

NO_TEST: Final = "There is no test command."


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a build, with where it tells what it does."""

    build: Build
    lease: Lease
    board: Board
    writer: Writer
    deadline: Deadline


@dataclass(frozen=True, slots=True)
class Pipeline:
    """From a snapshot to an artifact; without a scanner nothing is scanned, and the stage says so."""

    builds: Builds
    fetching: Fetching
    projects: Projects
    builder: Builder
    reuse: Reuse
    attestations: Attestations
    clock: Clock
    # Of the platform, for provenance.
    version: str
    scanner: Scanner | None = None
    # What plans are made for when neither service nor source name a builder.
    default_builder: str = SLUG

    async def run(self, attempt: Attempt) -> Result:
        """Goes through all stages. BuildFault when something of the user's fails, NothingChanged when it need not."""
        job, tree, settings = await self._fetch(attempt)
        plan = await self._detect(attempt, tree, settings)
        key = await self._inputs(job, plan)
        if not job.fresh and (earlier := await self.reuse.find(job.build.workspace_id, key)) is not None:
            return await self._reused(attempt, job, plan, earlier)
        built = await self._made(attempt, job, plan)
        return await self._publish(attempt, job, plan, built, key)

    async def _inputs(self, job: Job, plan: BuildPlan) -> str:
        """Fingerprint of all that the build depends on; empty when that cannot be told."""
        try:
            machine = await self.builder.machine(plan)
        except BuildFault:
            # What is missing is told by the build, which needs it.
            return ""
        if machine is None:
            return ""
        return self.attestations.fingerprint(
            inputs(
                workspace_id=job.build.workspace_id,
                source_digest=job.snapshot_digest,
                plan=plan.document(),
                machine=machine,
                variables=job.variables.values,
                version=self.version,
            )
        )

    async def _reused(self, attempt: Attempt, job: Job, plan: BuildPlan, earlier: Earlier) -> Result:
        """Takes over what an earlier build made. It is scanned again: what is forbidden may have changed."""
        same = f"Reused: {earlier.build_id} built the same source with the same plan and variables."
        await attempt.writer.say("build", f"{same} Set NO_CACHE=1 to build anew.")
        attempt.board.skip(StageName.BUILD, same)
        attempt.board.skip(StageName.TEST, f"{same} It was tested then." if plan.test else NO_TEST)
        await self._scan(attempt, job, plan)
        async with attempt.board.stage(StageName.PUBLISH) as note:
            note.detail = earlier.result.artifact.digest
        return earlier.result

    async def _publish(self, attempt: Attempt, job: Job, plan: BuildPlan, built: Built, key: str) -> Result:
        async with attempt.board.stage(StageName.PUBLISH) as note:
            artifact = await built.publish(attempt.writer)
            made = Made(
                build=job.build,
                source_digest=job.snapshot_digest,
                plan=plan.document(),
                variables=sorted(job.variables.values),
                origin=built.origin,
                version=self.version,
                finished_at=self.clock.now(),
                secrets=self._secrets(job.variables),
            )
            provenance = await self.attestations.keep(statement(made, artifact))
            note.detail = artifact.digest
        return Result(artifact, provenance, key)

    def _secrets(self, variables: Variables) -> frozenset[str]:
        return variables.secrets | credentials(variables.values.values()) | self.builder.secrets

    async def _fetch(self, attempt: Attempt) -> tuple[Job, Tree, PlanSettings]:
        build, writer = attempt.build, attempt.writer
        async with attempt.board.stage(StageName.FETCH) as note:
            settings, variables = await self._told(build)
            opening = await self.fetching.secrets(build)
            writer.hide(self._secrets(variables) | opening.values)
            snapshot = await self.fetching.snapshot(build, attempt.lease, opening, writer)
            job = Job(replace(build, snapshot_id=snapshot.id), snapshot.digest, variables, attempt.deadline.paused)
            tree = await self.builder.fetch(job)
            note.detail = f"{len(tree.files)} file{'' if len(tree.files) == 1 else 's'}"
        return job, tree, settings

    async def _detect(self, attempt: Attempt, tree: Tree, settings: PlanSettings) -> BuildPlan:
        say = attempt.writer.say
        async with attempt.board.stage(StageName.DETECT) as note:
            plan = await asyncio.to_thread(make_plan, tree, settings, builder=self.default_builder)
            await self.builds.planned(attempt.lease, plan)
            framework = f" with {plan.framework}" if plan.framework else ""
            note.detail = f"{plan.provider}{framework}"
            await say("detect", f"{note.detail}, found by {', '.join(plan.evidence)}")
            await say("detect", f"start command: {plan.start_command or 'the image’s own'} ({plan.start_from})")
            for warning in plan.warnings:
                await say("detect", f"note: {warning}")
        return plan

    async def _made(self, attempt: Attempt, job: Job, plan: BuildPlan) -> Built:
        """The scan and the build side by side: the first that fails ends the other."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._scan(attempt, job, plan), name=f"scan:{attempt.build.id}")
                built = group.create_task(self._build(attempt, job, plan), name=f"build:{attempt.build.id}")
        except BaseExceptionGroup as failed:
            raise _telling(failed) from failed
        return built.result()

    async def _scan(self, attempt: Attempt, job: Job, plan: BuildPlan) -> None:
        if self.scanner is None:
            attempt.board.skip(StageName.SCAN, "Not scanned: this platform has no scanner.")
            return
        async with attempt.board.stage(StageName.SCAN) as note:
            report = await self.scanner.scan(job, plan, attempt.writer)
            if report.blocked:
                raise BuildFault(report.blocked)
            note.detail = report.summary

    async def _build(self, attempt: Attempt, job: Job, plan: BuildPlan) -> Built:
        async with attempt.board.stage(StageName.BUILD):
            built = await self.builder.build(job, plan, attempt.writer)
        if plan.test is None:
            attempt.board.skip(StageName.TEST, NO_TEST)
            return built
        async with attempt.board.stage(StageName.TEST):
            await built.test(plan.test, attempt.writer)
        return built

    async def _told(self, build: Build) -> tuple[PlanSettings, Variables]:
        """What the service's owner set; what is wrong with it is the owner's fault."""
        try:
            return await self.projects.settings(build), await self.projects.variables(build)
        except Unavailable:
            raise
        except Failure as failure:
            raise BuildFault(str(failure)) from failure


def _telling(failed: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one failure that people are told: the user's fault before all others, which may come of stopping."""
    return next((one for one in failed.exceptions if isinstance(one, BuildFault)), failed.exceptions[0])

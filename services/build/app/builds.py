"""Looks at builds, and calls them off."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import Invalid, NotFound
from libs.scan.report import Report
from services.build.app.calloff import CallOff
from services.build.app.ports import Artifacts, Builds, Log, Whose
from services.build.app.scanning import Bills, Reports
from services.build.app.wakes import Wakes
from services.build.domain.model import Artifact, Build, LogLine
from services.build.domain.stages import StageName

PAGE: Final = 500
# Deployments that one call may ask about.
MOST_ASKED: Final = 200
# How long a follower of a log waits when nobody wakes it, in seconds.
PERIOD: Final = 0.25


@dataclass(frozen=True, slots=True)
class BuildDesk:
    """Use cases around builds."""

    builds: Builds
    log: Log
    artifacts: Artifacts
    call_off: CallOff
    wakes: Wakes
    whose: Whose
    reports: Reports
    bills: Bills

    async def cancel(self, ctx: Ctx, build_id: str, deployment_id: str) -> None:
        """Calls a build off on a person's word. Harmless when it has ended."""
        await self.call_off(await self.get(ctx, build_id, deployment_id), "Cancelled.")

    async def get(self, ctx: Ctx, build_id: str, deployment_id: str) -> Build:
        """One build, by its id or its deployment's. NotFound when it is not the caller's, or not that deployment's."""
        if build_id:
            found = await self.builds.get(build_id, ctx.workspaces)
            what = f"Build {build_id}"
        elif deployment_id:
            found = await self.builds.of_deployment(deployment_id, ctx.workspaces)
            what = f"A build of deployment {deployment_id}"
        else:
            raise Invalid("Name a build or a deployment.", field="build_id")
        if found is None or deployment_id not in ("", found.deployment_id):
            raise NotFound(f"{what} does not exist, or is not yours to see.")
        ctx.allow(found.workspace_id, found.project_id, found.environment_id, what=what)
        return found

    async def of_deployments(self, ctx: Ctx, deployment_ids: Sequence[str]) -> list[Build]:
        """Their builds, newest first; a deployment that has none is left out. NotFound when one is not the caller's."""
        if len(deployment_ids) > MOST_ASKED:
            raise Invalid(f"At most {MOST_ASKED} deployments at once.", field="deployment_ids")
        found = await self.builds.of_deployments(deployment_ids, ctx.workspaces)
        for build in found:
            ctx.allow(
                build.workspace_id, build.project_id, build.environment_id, what=f"Deployment {build.deployment_id}"
            )
        built = {build.deployment_id for build in found}
        for deployment_id in dict.fromkeys(deployment_ids):
            if deployment_id not in built:
                await self.whose.check(ctx, deployment_id)
        return found

    async def of_artifact(self, ctx: Ctx, digest: str) -> Build | None:
        """The newest build that made this artifact and is the caller's to see."""
        found = await self.builds.of_artifact(digest, ctx.workspaces)
        return next((build for build in found if _may_see(ctx, build)), None)

    async def read_log(
        self, ctx: Ctx, build_id: str, deployment_id: str, *, after: int, tail: int, follow: bool
    ) -> AsyncIterator[list[LogLine]]:
        """The lines after number `after`, each once; with `follow` also what comes until the build has ended.

        From the first line it begins with the last `tail` of those that are there, unless that is 0.
        """
        build = await self.get(ctx, build_id, deployment_id)
        if tail > 0 and not after:
            # Numbers have no gaps.
            after = max(0, await self.log.last(build.id) - tail)
        with self.wakes.hear(build.id) as heard:
            while True:
                # Looked at before the lines: when it had ended by then, no line comes after those read now.
                now = await self.builds.get(build.id, None)
                ended = now is None or now.state.final
                while lines := await self.log.read(build.id, after, PAGE):
                    after = lines[-1].number
                    yield lines
                if ended or not follow:
                    return
                await heard(PERIOD)

    async def scan(self, ctx: Ctx, build_id: str, deployment_id: str) -> Report:
        """What the scan of a build's source found. NotFound before the scan has ended, and when it never did."""
        build = await self.get(ctx, build_id, deployment_id)
        report = await self.reports.get(build.id)
        if report is None:
            raise _not_scanned(build)
        return report

    async def sbom(self, ctx: Ctx, build_id: str, deployment_id: str) -> bytes:
        """The bill of materials of a build's source. NotFound when there is none."""
        report = await self.scan(ctx, build_id, deployment_id)
        if not report.sbom.digest:
            raise NotFound(f"There is no bill of materials: its packages were not scanned: {report.sbom.why}.")
        return await self.bills.read(report.sbom.digest)

    async def artifact(self, digest: str) -> Artifact:
        """What a runtime needs to start it. NotFound when no build made it."""
        found = await self.artifacts.get(digest, self.call_off.clock.now())
        if found is None:
            raise NotFound(
                f"Artifact {digest} does not exist, or is kept no longer.",
                field="digest",
                hint="Deploy the source again; only results of the last builds are kept.",
            )
        return found


def _not_scanned(build: Build) -> NotFound:
    """Why there is no report: there may still be one, or there never will be."""
    hint = f"Its stages say more: lr build status {build.id}"
    if not build.state.final:
        return NotFound(f"The source of build {build.id} is not scanned yet.", hint=hint)
    why = next((stage.detail for stage in build.progress if stage.name is StageName.SCAN), "")
    return NotFound(f"The source of build {build.id} was not scanned, and will not be: it has ended. {why}", hint=hint)


def _may_see(ctx: Ctx, build: Build) -> bool:
    try:
        ctx.allow(build.workspace_id, build.project_id, build.environment_id)
    except NotFound:
        return False
    return True

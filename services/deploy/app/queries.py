"""What people ask about deployments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import Invalid, NotFound
from libs.kernel.ids import is_id
from services.deploy.app.ports import ArtifactInUse, Filter, LogQuery, LogRecord, Logs, Projects, Store
from services.deploy.domain.model import Deployment, Instance

PAGE: Final = 50
LONGEST_PAGE: Final = 200
LOG_BATCH: Final = 500
FOLLOW_SECONDS: Final = 1.0


class Queries:
    """Use cases that only read."""

    def __init__(self, store: Store, logs: Logs, projects: Projects) -> None:
        self._store = store
        self._logs = logs
        self._projects = projects

    async def get(self, ctx: Ctx, deployment_id: str) -> tuple[Deployment, list[Instance]]:
        """A deployment with its instances."""
        deployment = await self._store.get(ctx, deployment_id)
        _allow(ctx, deployment)
        return deployment, await self._store.instances([deployment.id], exited=True)

    async def find(self, ctx: Ctx, wanted: Filter, limit: int) -> tuple[list[tuple[Deployment, list[Instance]]], str]:
        """A page of deployments, newest first, and the cursor of the next one; empty at the end.

        Each comes with the instances it has now, not with those that exited: over a service's life they are many.

        NotFound for an id that is not the caller's, or that does not belong to the others. What was deployed proves
        its ids, so the deployments of one's own service can be listed after it was deleted; once nothing is found,
        the project service says whose the ids are, and there a deleted service does not exist.
        """
        if limit < 0:
            raise Invalid(f"A page cannot have {limit} entries.", field="page.limit", hint=f"Leave it out for {PAGE}.")
        if wanted.before and not is_id(wanted.before, "deployment"):
            raise Invalid("This cursor is none that a page ended with.", field="page.cursor")
        size = min(limit or PAGE, LONGEST_PAGE)
        found = await self._store.find(ctx, wanted, size + 1)
        if not found:
            await self._allow_empty(ctx, wanted)
        page = found[:size]
        of: dict[str, list[Instance]] = {one.id: [] for one in page}
        for instance in await self._store.instances(list(of)):
            of[instance.deployment_id].append(instance)
        return [(one, of[one.id]) for one in page], page[-1].id if len(found) > size else ""

    async def artifacts_in_use(self, keep_count: int, since: datetime) -> list[ArtifactInUse]:
        """What no one may delete: needed by what runs, by what is on its way, or by a rollback."""
        return await self._store.artifacts_in_use(keep_count, since)

    async def log(self, ctx: Ctx, wanted: LogQuery, *, follow: bool, tail: int) -> AsyncIterator[list[LogRecord]]:
        """Batches of lines in order; with follow, for as long as the caller stays.

        NotFound for an id that is not the caller's, or a deployment that is not of the service and environment named.
        """
        after = wanted.after
        await self._allow_log(ctx, wanted)
        # Without an environment, a service's lines in all of them that the caller may see.
        wanted = replace(wanted, environment_id=wanted.environment_id or ctx.actor.environment_id)
        if tail and not after:
            last = await self._logs.tail(wanted, min(tail, 10_000))
            if last:
                yield last
                after = last[-1].cursor
            elif not follow:
                return
        while True:
            batch = await self._logs.read(replace(wanted, after=after), LOG_BATCH)
            if batch:
                yield batch
                after = batch[-1].cursor
            elif follow:
                await self._logs.changed(FOLLOW_SECONDS)
            else:
                return

    async def _allow_empty(self, ctx: Ctx, wanted: Filter) -> None:
        """Passes when nothing is the answer: all ids are the caller's, and belong together."""
        if not (wanted.service_id or wanted.environment_id or wanted.project_id):
            return
        if wanted.before and await self._store.find(ctx, replace(wanted, before=""), 1):
            return
        await self._projects.allow(
            ctx,
            service_id=wanted.service_id,
            environment_id=wanted.environment_id,
            project_id=wanted.project_id,
        )

    async def _allow_log(self, ctx: Ctx, wanted: LogQuery) -> None:
        if wanted.deployment_id:
            deployment = await self._store.get(ctx, wanted.deployment_id)
            _allow(ctx, deployment)
            _belongs("Service", wanted.service_id, deployment.service_id)
            _belongs("Environment", wanted.environment_id, deployment.environment_id)
        elif wanted.service_id:
            service = await self._projects.service(
                ctx, service_id=wanted.service_id, environment_id=wanted.environment_id
            )
            ctx.allow(service.workspace_id, service.project_id, service.environment_id, what="The service")
        else:
            raise Invalid("Say whose log: service_id or deployment_id.", field="service_id")


def _allow(ctx: Ctx, deployment: Deployment) -> None:
    ctx.allow(
        deployment.workspace_id, deployment.project_id, deployment.environment_id, what=f"Deployment {deployment.id}"
    )


def _belongs(kind: str, asked: str, actual: str) -> None:
    if asked not in ("", actual):
        raise NotFound(f"{kind} {asked[:64]} does not exist, or has no such deployment.")

"""What people ask about deployments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import Invalid
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

    async def find(self, ctx: Ctx, wanted: Filter, limit: int) -> tuple[list[Deployment], str]:
        """A page of deployments, newest first, and the cursor of the next one; empty at the end."""
        size = min(limit or PAGE, LONGEST_PAGE)
        found = await self._store.find(ctx, wanted, size + 1)
        page = found[:size]
        return page, page[-1].id if len(found) > size else ""

    async def artifacts_in_use(self, keep_count: int, since: datetime) -> list[ArtifactInUse]:
        """What no one may delete: needed by what runs, by what is on its way, or by a rollback."""
        return await self._store.artifacts_in_use(keep_count, since)

    async def log(self, ctx: Ctx, wanted: LogQuery, *, follow: bool, tail: int) -> AsyncIterator[list[LogRecord]]:
        """Batches of lines in order; with follow, for as long as the caller stays."""
        after = wanted.after
        await self._allow_log(ctx, wanted)
        if tail and not after:
            last = await self._logs.tail(wanted, min(tail, 10_000))
            if last:
                yield last
                after = last[-1].cursor
            elif not follow:
                return
        while True:
            query = LogQuery(wanted.service_id, wanted.environment_id, wanted.deployment_id, after)
            batch = await self._logs.read(query, LOG_BATCH)
            if batch:
                yield batch
                after = batch[-1].cursor
            elif follow:
                await self._logs.changed(FOLLOW_SECONDS)
            else:
                return

    async def _allow_log(self, ctx: Ctx, wanted: LogQuery) -> None:
        if wanted.deployment_id:
            _allow(ctx, await self._store.get(ctx, wanted.deployment_id))
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

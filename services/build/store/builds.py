"""Builds in PostgreSQL: every change of state is one guarded statement."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from libs.db import Database, Row
from libs.plans.plan import BuildPlan
from services.build.app.ports import Lease
from services.build.domain.model import Build, BuildState
from services.build.domain.queue import Waiting
from services.build.domain.source import wish_of
from services.build.domain.stages import Stage, stage_of

# NOTIFY channel that says a build may be ready to begin.
CHANNEL: Final = "build_queue"
_FIELDS: Final = (
    "id, workspace_id, project_id, service_id, environment_id, deployment_id, snapshot_id, state, created_at, reason,"
    " provider, artifact_digest, started_at, finished_at, attempt, stages, waiting, git,"
    " provenance_digest"
)
_TENANT: Final = "($2::text[] is null or workspace_id = any($2))"
_HELD: Final = "id = $1 and lease_owner = $2 and attempt = $3 and state = 'running'"


class PostgresBuilds:
    """The tables `builds` and `retired_services`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, build: Build) -> bool:
        """Queues one and says so when the transaction commits; False when its deployment has one already."""
        async with self._db.tx() as tx:
            added = await tx.execute(
                "insert into builds (id, workspace_id, project_id, service_id, environment_id, deployment_id,"
                " snapshot_id, state, created_at, git) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
                " on conflict (deployment_id) do nothing",
                build.id,
                build.workspace_id,
                build.project_id,
                build.service_id,
                build.environment_id,
                build.deployment_id,
                build.snapshot_id,
                build.state.value,
                build.created_at,
                build.git.document() if build.git else None,
            )
            await tx.execute("select pg_notify($1, $2)", CHANNEL, build.id)
        return added > 0

    async def get(self, build_id: str, workspaces: Sequence[str] | None) -> Build | None:
        """One by its id."""
        row = await self._db.fetchrow(
            f"select {_FIELDS} from builds where id = $1 and {_TENANT}",  # noqa: S608 - constants
            build_id,
            workspaces,
        )
        return _build(row) if row else None

    async def of_deployment(self, deployment_id: str, workspaces: Sequence[str] | None) -> Build | None:
        """One by its deployment."""
        row = await self._db.fetchrow(
            f"select {_FIELDS} from builds where deployment_id = $1 and {_TENANT}",  # noqa: S608 - constants
            deployment_id,
            workspaces,
        )
        return _build(row) if row else None

    async def of_deployments(self, deployment_ids: Sequence[str], workspaces: Sequence[str] | None) -> list[Build]:
        """Those of these deployments, newest first."""
        rows = await self._db.fetch(
            f"select {_FIELDS} from builds where deployment_id = any($1) and {_TENANT}"  # noqa: S608 - constants
            " order by created_at desc, id desc",
            list(deployment_ids),
            workspaces,
        )
        return [_build(row) for row in rows]

    async def reusable(self, workspace_id: str, inputs: str) -> Build | None:
        """The newest successful one of the workspace with these inputs."""
        row = await self._db.fetchrow(
            f"select {_FIELDS} from builds where workspace_id = $1 and inputs = $2 and state = 'succeeded'"  # noqa: S608 - constants
            " order by finished_at desc, id desc limit 1",
            workspace_id,
            inputs,
        )
        return _build(row) if row else None

    async def of_artifact(self, digest: str, workspaces: Sequence[str] | None) -> list[Build]:
        """Successful ones that made this artifact, newest first."""
        rows = await self._db.fetch(
            f"select {_FIELDS} from builds where artifact_digest = $1 and state = 'succeeded' and {_TENANT}"  # noqa: S608 - constants
            " order by created_at desc, id desc limit 100",
            digest,
            workspaces,
        )
        return [_build(row) for row in rows]

    async def waiting(self, now: datetime) -> list[Waiting]:
        """Builds that could begin, oldest first."""
        rows = await self._db.fetch(
            "select id, workspace_id from builds"
            " where state = 'queued' or (state = 'running' and lease_until <= $1) order by created_at, id",
            now,
        )
        return [Waiting(row["id"], row["workspace_id"]) for row in rows]

    async def running(self, now: datetime) -> list[Waiting]:
        """Builds under way."""
        rows = await self._db.fetch(
            "select id, workspace_id from builds where state = 'running' and lease_until > $1", now
        )
        return [Waiting(row["id"], row["workspace_id"]) for row in rows]

    async def claim(self, build_id: str, owner: str, now: datetime, until: datetime) -> Build | None:
        """Begins it, or begins it again after a lease that ran out."""
        row = await self._db.fetchrow(
            "update builds set state = 'running', attempt = attempt + 1, lease_owner = $2, lease_until = $4,"  # noqa: S608 - constants
            " deaths = deaths + (lease_owner <> '')::int, stages = '[]', waiting = '',"
            " started_at = coalesce(started_at, $3)"
            " where id = $1 and (state = 'queued' or (state = 'running' and lease_until <= $3))"
            f" returning {_FIELDS}",
            build_id,
            owner,
            now,
            until,
        )
        return _build(row) if row else None

    async def give_up(self, build_id: str, most: int, now: datetime, reason: str) -> Build | None:
        """Ends a build whose process just died for the `most`th time: its lease ran out, it was not given back."""
        row = await self._db.fetchrow(
            "update builds set state = 'failed', reason = $4, finished_at = $3, lease_until = null, deaths = deaths + 1"  # noqa: S608 - constants
            " where id = $1 and state = 'running' and lease_until <= $3 and lease_owner <> '' and deaths + 1 >= $2"
            f" returning {_FIELDS}",
            build_id,
            most,
            now,
            reason,
        )
        return _build(row) if row else None

    async def renew(self, lease: Lease, until: datetime) -> bool:
        """Keeps the lease; False when it is lost."""
        statement = f"update builds set lease_until = $4 where {_HELD}"  # noqa: S608 - constants
        return await self._db.execute(statement, lease.build_id, lease.owner, lease.attempt, until) > 0

    async def holds(self, lease: Lease) -> bool:
        """Whether the lease is still good."""
        found = await self._db.fetchval(
            f"select true from builds where {_HELD}",  # noqa: S608 - constants
            lease.build_id,
            lease.owner,
            lease.attempt,
        )
        return bool(found)

    async def release(self, lease: Lease, now: datetime) -> None:
        """Lets another begin it at once."""
        async with self._db.tx() as tx:
            statement = f"update builds set lease_until = $4, lease_owner = '' where {_HELD}"  # noqa: S608 - constants
            await tx.execute(statement, lease.build_id, lease.owner, lease.attempt, now)
            await tx.execute("select pg_notify($1, $2)", CHANNEL, lease.build_id)

    async def planned(self, lease: Lease, plan: BuildPlan) -> None:
        """Notes what will be done."""
        statement = f"update builds set provider = $4, plan = $5 where {_HELD}"  # noqa: S608 - constants
        await self._db.execute(statement, lease.build_id, lease.owner, lease.attempt, plan.provider, plan.document())

    async def fetched(self, lease: Lease, snapshot_id: str) -> bool:
        """Notes the source it was fetched as; False when the lease is lost."""
        statement = f"update builds set snapshot_id = $4 where {_HELD}"  # noqa: S608 - constants
        return await self._db.execute(statement, lease.build_id, lease.owner, lease.attempt, snapshot_id) > 0

    async def staged(self, lease: Lease, stages: Sequence[Stage]) -> None:
        """Notes how far it is."""
        statement = f"update builds set stages = $4 where {_HELD}"  # noqa: S608 - constants
        documents = [stage.document() for stage in stages]
        await self._db.execute(statement, lease.build_id, lease.owner, lease.attempt, documents)

    async def finish(
        self,
        lease: Lease,
        state: BuildState,
        now: datetime,
        *,
        reason: str = "",
        artifact_digest: str = "",
        provenance_digest: str = "",
        inputs: str = "",
    ) -> bool:
        """Ends it; False when the lease is lost."""
        statement = (
            "update builds set state = $4, reason = $5, artifact_digest = $6, finished_at = $7, lease_until = null,"  # noqa: S608 - constants
            f" provenance_digest = $8, inputs = $9 where {_HELD}"
        )
        done = await self._db.execute(
            statement,
            *(lease.build_id, lease.owner, lease.attempt),
            *(state.value, reason, artifact_digest, now, provenance_digest, inputs),
        )
        return done > 0

    async def cancel(self, build_id: str, now: datetime, reason: str) -> bool:
        """Ends it whoever works on it; False when it had ended."""
        done = await self._db.execute(
            "update builds set state = 'cancelled', reason = $3, finished_at = $2, lease_until = null"
            " where id = $1 and state in ('queued', 'running')",
            build_id,
            now,
            reason,
        )
        return done > 0

    async def held(self, build_id: str, why: str) -> bool:
        """Notes why a queued build waits; False when it is not queued any more."""
        noted = await self._db.execute(
            "update builds set waiting = $2 where id = $1 and state = 'queued'", build_id, why
        )
        return noted > 0

    async def tired(self, build_ids: Sequence[str], now: datetime, why: str) -> list[Build]:
        """Ends as failed those that are queued still; the reason adds what each waited for."""
        rows = await self._db.fetch(
            "update builds set state = 'failed', finished_at = $2,"  # noqa: S608 - constants
            " reason = $3 || case waiting when '' then '.' else ': ' || waiting || '.' end"
            f" where state = 'queued' and id = any($1) returning {_FIELDS}",
            list(build_ids),
            now,
            why,
        )
        return [_build(row) for row in rows]

    async def supersede(
        self, deployment_id: str, service_id: str, environment_id: str, now: datetime, reason: str
    ) -> list[Build]:
        """Cancels what is queued for older deployments of the pair; ids of deployments are in their order."""
        rows = await self._db.fetch(
            "update builds set state = 'cancelled', reason = $5, finished_at = $4"  # noqa: S608 - constants
            " where service_id = $2 and environment_id = $3 and deployment_id < $1 and state = 'queued'"
            f" returning {_FIELDS}",
            deployment_id,
            service_id,
            environment_id,
            now,
            reason,
        )
        return [_build(row) for row in rows]

    async def retire(self, service_id: str, now: datetime) -> None:
        """Notes that the service is gone; the first time counts."""
        await self._db.execute(
            "insert into retired_services (service_id, retired_at) values ($1, $2) on conflict do nothing",
            service_id,
            now,
        )


def _build(row: Row) -> Build:
    stages = tuple(stage_of(document) for document in row["stages"])
    git = wish_of(row["git"]) if row["git"] is not None else None
    return Build(**{**row, "state": BuildState(row["state"]), "stages": stages, "git": git})

"""Deployments in PostgreSQL."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime

from libs.db import Database
from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound
from services.deploy.app.ports import ArtifactInUse, Filter
from services.deploy.domain.facts import Fact
from services.deploy.domain.model import PAIR_SEPARATOR, Deployment, Instance, InstanceState, Release, Route
from services.deploy.store import rows

Record = Callable[[Fact], Awaitable[None]]


class PostgresStore:
    """The store of deploy; facts go where `record` puts them, in the same transaction."""

    def __init__(self, db: Database, record: Record) -> None:
        self._db = db
        self._record = record

    def work(self) -> AbstractAsyncContextManager[object]:
        """A transaction; nested ones join it."""
        return self._db.tx()

    def after(self, call: Callable[[], None]) -> None:
        """Calls once the running transaction has committed."""
        self._db.after_commit(call)

    async def record(self, fact: Fact) -> None:
        """Tells a fact with the running transaction."""
        await self._record(fact)

    async def add(self, deployment: Deployment, idempotency_key: str, sealed_variables: bytes) -> None:
        """Inserts a deployment."""
        d = deployment
        await self._db.execute(
            f"insert into deployments ({rows.DEPLOYMENT}, sealed_variables, idempotency_key) values"  # noqa: S608 - constants
            " ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16,$17,$18,$19,$20,$21,$22,$23)",
            *(d.id, d.workspace_id, d.project_id, d.environment_id, d.service_id, d.service_name, d.state, d.trigger),
            *(d.reason, d.snapshot_id, d.artifact_digest, d.origin_id, d.url, d.replicas, rows.plain(d.resources)),
            *(d.variables_version, rows.plain(d.settings), d.created_at, d.updated_at, d.went_live_at),
            *(rows.plain(d.git), sealed_variables, idempotency_key),
        )

    async def by_key(self, like: Deployment, idempotency_key: str, since: datetime) -> Deployment | None:
        """The deployment of the same pair made with this key since then; a second call waits for the first."""
        await self._db.execute("select pg_advisory_xact_lock(hashtext($1))", f"{like.pair}:{idempotency_key}")
        row = await self._db.fetchrow(
            f"select {rows.DEPLOYMENT} from deployments where service_id = $1 and environment_id = $2"  # noqa: S608 - constants
            " and idempotency_key = $3 and created_at > $4 order by id desc limit 1",
            like.service_id,
            like.environment_id,
            idempotency_key,
            since,
        )
        return rows.deployment(row) if row else None

    async def get(self, ctx: Ctx, deployment_id: str) -> Deployment:
        """One of the caller's deployments; NotFound otherwise."""
        row = await self._db.fetchrow(
            f"select {rows.DEPLOYMENT} from deployments where id = $1"  # noqa: S608 - constants
            " and ($2::text[] is null or workspace_id = any($2))",
            deployment_id,
            ctx.workspaces,
        )
        if row is None:
            raise _unknown(deployment_id)
        return rows.deployment(row)

    async def lock(self, deployment_id: str) -> Deployment:
        """The deployment, held against changes by others until the transaction ends; NotFound when there is none."""
        row = await self._db.fetchrow(
            f"select {rows.DEPLOYMENT} from deployments where id = $1 for update",  # noqa: S608 - constants
            deployment_id,
        )
        if row is None:
            raise _unknown(deployment_id)
        return rows.deployment(row)

    async def save(self, deployment: Deployment) -> None:
        """Writes a deployment's state, reason and what it was given."""
        d = deployment
        await self._db.execute(
            "update deployments set state = $2, reason = $3, artifact_digest = $4, url = $5, replicas = $6,"
            " resources = $7, variables_version = $8, settings = $9, updated_at = $10, went_live_at = $11, git = $12,"
            " snapshot_id = $13 where id = $1",
            *(d.id, d.state, d.reason, d.artifact_digest, d.url, d.replicas, rows.plain(d.resources)),
            *(d.variables_version, rows.plain(d.settings), d.updated_at, d.went_live_at, rows.plain(d.git)),
            d.snapshot_id,
        )

    async def find(self, ctx: Ctx, wanted: Filter, limit: int) -> list[Deployment]:
        """The caller's deployments, newest first."""
        found = await self._db.fetch(
            f"select {rows.DEPLOYMENT} from deployments where ($1::text[] is null or workspace_id = any($1))"  # noqa: S608 - constants
            " and ($2 = '' or service_id = $2) and ($3 = '' or environment_id = $3) and ($4 = '' or project_id = $4)"
            " and ($5 = '' or id < $5) and ($7 = '' or project_id = $7) and ($8 = '' or environment_id = $8)"
            " order by id desc limit $6",
            ctx.workspaces,
            wanted.service_id,
            wanted.environment_id,
            wanted.project_id,
            wanted.before,
            limit,
            ctx.actor.project_id,
            ctx.actor.environment_id,
        )
        return [rows.deployment(row) for row in found]

    async def extra_variables(self, deployment_id: str) -> bytes:
        """The sealed variables given for this deployment only; empty when there are none."""
        sealed = await self._db.fetchval("select sealed_variables from deployments where id = $1", deployment_id)
        return bytes(sealed or b"")

    async def open_pairs(self) -> list[str]:
        """Pairs with anything that may want a step."""
        found = await self._db.fetch(
            "select service_id || $1 || environment_id as pair from deployments"
            " where state not in ('failed', 'skipped', 'removed', 'crashed')"
            " union select pair from instances where state in ('starting', 'healthy', 'unhealthy')"
            " union select pair from routes where endpoints <> '[]'::jsonb",
            PAIR_SEPARATOR,
        )
        return [row["pair"] for row in found]

    async def of_pair(self, pair: str) -> list[Deployment]:
        """Deployments of a pair that are not final, or that have instances; oldest first."""
        service_id, _, environment_id = pair.partition(PAIR_SEPARATOR)
        found = await self._db.fetch(
            f"select {rows.DEPLOYMENT} from deployments where service_id = $1 and environment_id = $2"  # noqa: S608 - constants
            " and (state not in ('failed', 'skipped', 'removed', 'crashed')"
            " or id in (select deployment_id from instances where pair = $3 and state <> 'exited')) order by id",
            service_id,
            environment_id,
            pair,
        )
        return [rows.deployment(row) for row in found]

    async def live(self, service_id: str, environment_id: str) -> list[Deployment]:
        """What runs or is on its way, of a service, or of a whole environment when service_id is empty."""
        found = await self._db.fetch(
            f"select {rows.DEPLOYMENT} from deployments where"  # noqa: S608 - constants
            " state in ('queued', 'initializing', 'building', 'deploying', 'active')"
            " and environment_id = $2 and ($1 = '' or service_id = $1)",
            service_id,
            environment_id,
        )
        return [rows.deployment(row) for row in found]

    async def unfinished_of_service(self, service_id: str) -> list[Deployment]:
        """Deployments of a service, in every environment, that are not final."""
        found = await self._db.fetch(
            f"select {rows.DEPLOYMENT} from deployments where service_id = $1"  # noqa: S608 - constants
            " and state not in ('failed', 'skipped', 'removed', 'crashed')",
            service_id,
        )
        return [rows.deployment(row) for row in found]

    async def forget_old(self, before: datetime, keep: int) -> int:
        """Deletes releases and instances of what ended before then, but for the newest `keep` of each pair."""
        async with self._db.tx() as tx:
            rows_ = await tx.fetch(
                "select id from (select id, state, updated_at, row_number() over"
                " (partition by service_id, environment_id order by id desc) as age from deployments) aged"
                " where age > $2 and updated_at < $1 and state in ('failed', 'skipped', 'removed', 'crashed')"
                " and id in (select deployment_id from releases) limit 1000",
                before,
                keep,
            )
            ended = [row["id"] for row in rows_]
            await tx.execute("delete from instances where deployment_id = any($1) and state = 'exited'", ended)
            return await tx.execute("delete from releases where deployment_id = any($1)", ended)

    async def add_release(self, release: Release) -> None:
        """Inserts a release; harmless when it is there."""
        await self._db.execute(
            "insert into releases (deployment_id, artifact, settings, sealed_variables, secret_names)"
            " values ($1, $2, $3, $4, $5) on conflict do nothing",
            release.deployment_id,
            rows.plain(release.artifact),
            rows.plain(release.settings),
            release.sealed_variables,
            list(release.secret_names),
        )

    async def release(self, deployment_id: str) -> Release:
        """A deployment's release; NotFound when it has none yet."""
        row = await self._db.fetchrow("select * from releases where deployment_id = $1", deployment_id)
        if row is None:
            raise NotFound(f"{deployment_id} has no release.")
        return rows.release(row)

    async def add_instance(self, instance: Instance) -> None:
        """Inserts an instance; harmless when its replica has a wanted one already."""
        i = instance
        await self._db.execute(
            f"insert into instances ({rows.INSTANCE})"  # noqa: S608 - constants
            " values ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13,$14,$15,$16) on conflict do nothing",
            *(i.id, i.deployment_id, i.pair, i.replica, i.state, i.restarts, i.start_after, i.port, i.started_at),
            *(i.healthy_at, i.checked_at, i.failed_checks, i.drain_until, i.exit_code, i.reason, i.log_offset),
        )

    async def save_instance(self, instance: Instance) -> None:
        """Writes what is known of an instance; one that has exited stays so. The log's offset is the log's to write."""
        i = instance
        await self._db.execute(
            "update instances set state = $2, port = $3, started_at = $4, healthy_at = $5, checked_at = $6,"
            " failed_checks = $7, drain_until = $8, exit_code = $9, reason = $10 where id = $1 and state <> 'exited'",
            *(i.id, i.state, i.port, i.started_at, i.healthy_at, i.checked_at),
            *(i.failed_checks, i.drain_until, i.exit_code, i.reason),
        )

    async def instances(self, deployment_ids: Sequence[str], *, exited: bool = False) -> list[Instance]:
        """Instances of these deployments, oldest first; those that exited only when asked for."""
        found = await self._db.fetch(
            f"select {rows.INSTANCE} from instances where deployment_id = any($1)"  # noqa: S608 - constants
            " and ($2 or state <> 'exited') order by id",
            list(deployment_ids),
            exited,
        )
        return [rows.instance(row) for row in found]

    async def instances_in(self, states: Sequence[InstanceState]) -> list[Instance]:
        """All instances in these states."""
        found = await self._db.fetch(
            f"select {rows.INSTANCE} from instances where state = any($1) and state <> 'exited' order by id",  # noqa: S608 - constants
            [str(state) for state in states],
        )
        return [rows.instance(row) for row in found]

    async def instance(self, instance_id: str) -> Instance:
        """One instance; NotFound when there is none."""
        row = await self._db.fetchrow(f"select {rows.INSTANCE} from instances where id = $1", instance_id)  # noqa: S608 - constants
        if row is None:
            raise NotFound(f"There is no instance {instance_id}.")
        return rows.instance(row)

    async def artifacts_in_use(self, keep_count: int, since: datetime) -> list[ArtifactInUse]:
        """What is not final, has instances, or can be rolled back to: so many a pair that were live, or since then."""
        found = await self._db.fetch(
            "with ranked as (select id, artifact_digest, snapshot_id, service_id, created_at,"
            " went_live_at is not null as lived, state not in ('failed', 'skipped', 'removed', 'crashed')"
            " or id in (select deployment_id from instances where state <> 'exited') as running, row_number() over"
            " (partition by service_id, environment_id, went_live_at is not null order by id desc) as place"
            " from deployments)"
            " select artifact_digest, snapshot_id, service_id, bool_or(running) as running from ranked"
            " where running or created_at >= $2 or (lived and place <= $1)"
            " group by artifact_digest, snapshot_id, service_id order by 1, 2, 3",
            keep_count,
            since,
        )
        return [ArtifactInUse(**row) for row in found]

    async def route(self, pair: str) -> Route:
        """What the edge was last told for a pair."""
        row = await self._db.fetchrow("select endpoints, generation from routes where pair = $1", pair)
        return rows.route(row) if row else Route()

    async def save_route(self, pair: str, route: Route) -> None:
        """Writes down what the edge has accepted; an older generation changes nothing."""
        await self._db.execute(
            "insert into routes (pair, endpoints, generation) values ($1, $2, $3) on conflict (pair) do update"
            " set endpoints = excluded.endpoints, generation = excluded.generation"
            " where routes.generation < excluded.generation",
            pair,
            rows.plain(route.endpoints),
            route.generation,
        )


def _unknown(deployment_id: str) -> NotFound:
    return NotFound(f"Deployment {deployment_id} does not exist, or is not yours to see.", field="deployment_id")

"""Samples, counters and prices in PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from libs.db import Database
from services.metering.app.ports import Question
from services.metering.domain.model import Accounted, EdgeKey, Place, Run, Use
from services.metering.domain.pricing import Price, Prices, Resource


class PostgresCounters:
    """How far every counter was accounted for."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def begin(self, name: str) -> bool:
        """Takes the lock of these counters until the transaction ends; False when another has it."""
        key = f"{self._db.schema}:{name}"
        return bool(await self._db.fetchval("select pg_try_advisory_xact_lock(hashtextextended($1, 0))", key))

    async def runs(self, run_ids: Collection[str]) -> dict[str, Run]:
        """The last readings of these runs."""
        rows = await self._db.fetch(
            "select run_id, cpu_microseconds, memory_bytes, seen_at from metered_runs where run_id = any($1::text[])",
            list(run_ids),
        )
        return {row["run_id"]: Run(**dict(row)) for row in rows}

    async def edges(self, keys: Collection[EdgeKey]) -> dict[EdgeKey, int]:
        """The last readings of these counters of the edge."""
        rows = await self._db.fetch(
            "select edge_epoch, service_id, environment_id, egress_bytes from metered_edges"
            " where edge_epoch = any($1::text[])",
            list({key.edge_epoch for key in keys}),
        )
        found = {
            EdgeKey(row["edge_epoch"], row["service_id"], row["environment_id"]): row["egress_bytes"] for row in rows
        }
        return {key: found[key] for key in keys if key in found}

    async def places(self, pairs: Collection[tuple[str, str]]) -> dict[tuple[str, str], Place]:
        """Whom these (service id, environment id) belong to, as far as it was seen."""
        rows = await self._db.fetch(
            "select p.workspace_id, p.project_id, p.environment_id, p.service_id from metered_places p"
            " join unnest($1::text[], $2::text[]) as asked (service_id, environment_id)"
            " using (service_id, environment_id)",
            [service_id for service_id, _ in pairs],
            [environment_id for _, environment_id in pairs],
        )
        return {(row["service_id"], row["environment_id"]): Place(**dict(row)) for row in rows}

    async def remember(self, places: Collection[Place]) -> None:
        """Keeps whom a service in an environment belongs to; that never changes."""
        ordered = sorted(places, key=lambda place: (place.service_id, place.environment_id))
        await self._db.execute(
            "insert into metered_places (service_id, environment_id, project_id, workspace_id)"
            " select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]) on conflict do nothing",
            [place.service_id for place in ordered],
            [place.environment_id for place in ordered],
            [place.project_id for place in ordered],
            [place.workspace_id for place in ordered],
        )

    async def save(self, accounted: Accounted, at: datetime) -> None:
        """Moves the counters on, in one statement for runs and one for edges."""
        await self._db.execute(
            "insert into metered_runs (run_id, cpu_microseconds, memory_bytes, seen_at)"
            " select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::timestamptz[])"
            " on conflict (run_id) do update set cpu_microseconds = excluded.cpu_microseconds,"
            " memory_bytes = excluded.memory_bytes, seen_at = excluded.seen_at",
            [run.run_id for run in accounted.runs],
            [run.cpu_microseconds for run in accounted.runs],
            [run.memory_bytes for run in accounted.runs],
            [run.seen_at for run in accounted.runs],
        )
        await self._db.execute(
            "insert into metered_edges (edge_epoch, service_id, environment_id, egress_bytes, seen_at)"
            " select *, $5::timestamptz from unnest($1::text[], $2::text[], $3::text[], $4::bigint[])"
            " on conflict (edge_epoch, service_id, environment_id)"
            " do update set egress_bytes = excluded.egress_bytes, seen_at = excluded.seen_at",
            [edge.key.edge_epoch for edge in accounted.edges],
            [edge.key.service_id for edge in accounted.edges],
            [edge.key.environment_id for edge in accounted.edges],
            [edge.egress_bytes for edge in accounted.edges],
            at,
        )

    async def forget(self, before: datetime) -> None:
        """Deletes counters that were not seen since."""
        await self._db.execute("delete from metered_runs where seen_at < $1", before)
        await self._db.execute("delete from metered_edges where seen_at < $1", before)


class PostgresSamples:
    """Use, by minute and place."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, minute: datetime, uses: Mapping[Place, Use]) -> None:
        """Adds to what is stored for this minute, in one statement."""
        places = sorted(uses, key=lambda place: (place.service_id, place.environment_id))
        await self._db.execute(
            "insert into usage_samples (minute, workspace_id, project_id, environment_id, service_id,"
            " cpu_microseconds, memory_byte_seconds, egress_bytes)"
            " select $1::timestamptz, * from"
            " unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[])"
            " on conflict (service_id, environment_id, minute) do update set"
            " cpu_microseconds = usage_samples.cpu_microseconds + excluded.cpu_microseconds,"
            " memory_byte_seconds = usage_samples.memory_byte_seconds + excluded.memory_byte_seconds,"
            " egress_bytes = usage_samples.egress_bytes + excluded.egress_bytes",
            minute,
            [place.workspace_id for place in places],
            [place.project_id for place in places],
            [place.environment_id for place in places],
            [place.service_id for place in places],
            [uses[place].cpu_microseconds for place in places],
            [uses[place].memory_byte_seconds for place in places],
            [uses[place].egress_bytes for place in places],
        )

    async def sums(self, question: Question) -> Sequence[tuple[Place, Use]]:
        """All use in the window, by place, in the order of their ids."""
        rows = await self._db.fetch(
            "select workspace_id, project_id, environment_id, service_id,"
            " sum(cpu_microseconds) as cpu, sum(memory_byte_seconds) as memory, sum(egress_bytes) as egress"
            " from usage_samples"
            " where workspace_id = $1 and ($2::text[] is null or workspace_id = any($2))"
            " and minute >= $3 and minute < $4"
            " and ($5 = '' or project_id = $5) and ($6 = '' or environment_id = $6) and ($7 = '' or service_id = $7)"
            " group by workspace_id, project_id, environment_id, service_id order by service_id, environment_id",
            question.workspace_id,
            question.tenants,
            question.window.start,
            question.window.end,
            question.project_id,
            question.environment_id,
            question.service_id,
        )
        return [
            (
                Place(row["workspace_id"], row["project_id"], row["environment_id"], row["service_id"]),
                Use(int(row["cpu"]), int(row["memory"]), int(row["egress"])),
            )
            for row in rows
        ]

    async def forget(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` samples of minutes before; gives how many."""
        return await self._db.execute(
            "delete from usage_samples where ctid = any(array("
            " select ctid from usage_samples where minute < $1 limit $2 for update skip locked))",
            before,
            limit,
        )


class PostgresPrices:
    """The operator's price table."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def prices(self) -> Prices:
        """The prices as they are now."""
        rows = await self._db.fetch("select resource, pico_usd, units from prices")
        return {Resource(row["resource"]): Price(row["pico_usd"], row["units"]) for row in rows}

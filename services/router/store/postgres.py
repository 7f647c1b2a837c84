"""The router's tables in PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from libs.db import Database, Row
from libs.kernel.clock import Clock
from services.router.app.ports import Unannounced
from services.router.domain.world import App, Endpoint, Key, Name, Publication, World, after

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# One statement, so that all of it is of one moment. A deleted service is one row without an environment.
_CHANGED: Final = """
with keys as (
    select service_id, environment_id from names where changed > $1
    union select service_id, environment_id from publications where changed > $1
),
apps as (
    select service_id, environment_id, n.host, p.version, false as gone from keys
    left join names n using (service_id, environment_id)
    left join publications p using (service_id, environment_id)
    union all
    select service_id, '', '', null, true from forgotten where changed > $1 and $1 >= 0
),
spots as (
    select service_id, environment_id,
        array_agg(instance_id order by address, port) as instances,
        array_agg(address order by address, port) as addresses,
        array_agg(port order by address, port) as ports,
        array_agg(draining_since order by address, port) as since
    from endpoints where (service_id, environment_id) in (select service_id, environment_id from apps) group by 1, 2
)
select r.revision, a.*, e.instances, e.addresses, e.ports, e.since
from edge_revision r
left join apps a on true
left join spots e on e.service_id = a.service_id and e.environment_id = a.environment_id
"""


async def _bump(db: Database) -> int:
    """Counts one more change of the world. Last in its transaction: until the end, others wait here."""
    return int(await db.fetchval("update edge_revision set revision = revision + 1 returning revision"))


class PostgresNames:
    """Host names and whose they are."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def of(self, key: Key) -> Name | None:
        """The name of a service in an environment."""
        row = await self._db.fetchrow("select * from names where service_id = $1 and environment_id = $2", *key)
        return None if row is None else _name(row)

    async def claim(self, name: Name) -> bool:
        """Takes the host name, unless another has it; whether it is now this one's."""
        async with self._db.tx() as tx:
            took = await tx.execute(
                "insert into names (service_id, environment_id, workspace_id, host, claimed_at, changed)"
                " values ($1, $2, $3, $4, $5, 0) on conflict do nothing",
                name.service_id,
                name.environment_id,
                name.workspace_id,
                name.host,
                self._clock.now(),
            )
            if took:
                await tx.execute(
                    "update names set changed = $3 where service_id = $1 and environment_id = $2",
                    name.service_id,
                    name.environment_id,
                    await _bump(self._db),
                )
            return took == 1

    async def list(self, service_ids: Sequence[str], environment_id: str) -> Sequence[Name]:
        """Names of these services; empty filters match everything."""
        rows = await self._db.fetch(
            "select * from names where (cardinality($1::text[]) = 0 or service_id = any($1))"
            " and ($2 = '' or environment_id = $2) order by host",
            list(service_ids),
            environment_id,
        )
        return [_name(row) for row in rows]


class PostgresPublications:
    """The endpoints of each service."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def of(self, key: Key) -> Publication | None:
        """The publication of an app."""
        row = await self._db.fetchrow("select * from publications where service_id = $1 and environment_id = $2", *key)
        if row is None:
            return None
        endpoints = await self._db.fetch(
            "select * from endpoints where service_id = $1 and environment_id = $2 order by address, port", *key
        )
        return Publication(
            row["generation"],
            row["version"],
            tuple(_endpoint(found) for found in endpoints),
            row["announced_at"] if row["announced"] == row["version"] else None,
        )

    async def save(self, key: Key, publication: Publication, deployment_id: str) -> int:
        """Writes the publication; gives its version, which is the world's new revision."""
        async with self._db.tx() as tx:
            await tx.execute(
                "insert into publications (service_id, environment_id, generation, version, deployment_id, changed)"
                " values ($1, $2, $3, 0, $4, 0) on conflict (service_id, environment_id) do update"
                " set generation = excluded.generation, deployment_id = excluded.deployment_id",
                *key,
                publication.generation,
                deployment_id,
            )
            await tx.execute("delete from endpoints where service_id = $1 and environment_id = $2", *key)
            await tx.executemany(
                "insert into endpoints (service_id, environment_id, address, port, instance_id, draining_since)"
                " values ($1, $2, $3, $4, $5, $6)",
                [(*key, one.address, one.port, one.instance_id, one.draining_since) for one in publication.endpoints],
            )
            version = await _bump(self._db)
            await tx.execute(
                "update publications set version = $3, changed = $3 where service_id = $1 and environment_id = $2",
                *key,
                version,
            )
            return version

    async def announce(self, key: Key, version: int, at: datetime) -> tuple[str, str, int] | None:
        """Marks this version as confirmed and told of; None: it was already, or a later one is published."""
        row = await self._db.fetchrow(
            "update publications p set announced = version, announced_at = $4"
            " where service_id = $1 and environment_id = $2 and version = $3 and announced < version"
            " returning deployment_id,"
            " coalesce((select workspace_id from names n where n.service_id = $1 and n.environment_id = $2), '')"
            " as owner,"
            " (select count(*) from endpoints e where e.service_id = $1 and e.environment_id = $2"
            "  and e.draining_since is null) as active",
            *key,
            version,
            at,
        )
        return None if row is None else (row["owner"], row["deployment_id"], row["active"])

    async def unannounced(self) -> Sequence[Unannounced]:
        """What still has to be told."""
        rows = await self._db.fetch(
            "select service_id, environment_id, version from publications where announced < version order by version"
        )
        return [Unannounced(Key(row["service_id"], row["environment_id"]), row["version"]) for row in rows]

    async def draining(self) -> Mapping[Key, Sequence[Endpoint]]:
        """Endpoints that only finish what they hold."""
        rows = await self._db.fetch("select * from endpoints where draining_since is not null order by address, port")
        found: dict[Key, list[Endpoint]] = defaultdict(list)
        for row in rows:
            found[Key(row["service_id"], row["environment_id"])].append(_endpoint(row))
        return found

    async def drop(self, key: Key, endpoints: Sequence[Endpoint]) -> None:
        """Deletes these endpoints as far as they still drain."""
        async with self._db.tx() as tx:
            # In the order in which `save` takes them: publication, endpoints, revision.
            await tx.execute("select from publications where service_id = $1 and environment_id = $2 for update", *key)
            left = await tx.execute(
                "delete from endpoints e using unnest($3::text[], $4::integer[], $5::timestamptz[])"
                " as old (address, port, since) where e.service_id = $1 and e.environment_id = $2"
                " and e.address = old.address and e.port = old.port and e.draining_since = old.since",
                *key,
                [one.address for one in endpoints],
                [one.port for one in endpoints],
                [one.draining_since for one in endpoints],
            )
            if left:
                await tx.execute(
                    "update publications set changed = $3 where service_id = $1 and environment_id = $2",
                    *key,
                    await _bump(self._db),
                )


class PostgresWorlds:
    """Everything at once."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def revision(self) -> int:
        """How often the world has changed."""
        return int(await self._db.fetchval("select revision from edge_revision"))

    async def load(self, since: World | None) -> World:
        """The world now; with `since`, only what has changed is read."""
        revision = -1 if since is None else since.revision
        rows = await self._db.fetch(_CHANGED, revision)
        changed = {_key(row): None if row["gone"] else _app(row) for row in rows if row["service_id"] is not None}
        return after(since, rows[0]["revision"], changed)

    async def hold(self, service_id: str) -> bool:
        """Keeps everyone else from changing the service until this transaction ends; whether it is deleted."""
        await self._db.execute("select pg_advisory_xact_lock(hashtextextended($1, 0))", f"router/{service_id}")
        return bool(await self._db.fetchval("select exists (select from forgotten where service_id = $1)", service_id))

    async def forget(self, service_id: str) -> None:
        """Deletes a service's names and endpoints, for good."""
        async with self._db.tx() as tx:
            if await self.hold(service_id):
                return
            await tx.execute("delete from names where service_id = $1", service_id)
            await tx.execute("delete from publications where service_id = $1", service_id)
            await tx.execute(
                "insert into forgotten (service_id, forgotten_at, changed) values ($1, $2, $3)",
                service_id,
                self._clock.now(),
                await _bump(self._db),
            )


def _name(row: Row) -> Name:
    return Name(row["service_id"], row["environment_id"], row["workspace_id"], row["host"])


def _endpoint(row: Row) -> Endpoint:
    return Endpoint(row["instance_id"], row["address"], row["port"], row["draining_since"])


def _key(row: Row) -> Key:
    return Key(row["service_id"], row["environment_id"])


def _app(row: Row) -> App:
    key = _key(row)
    if row["version"] is None:
        return App(key, row["host"] or "")
    columns = (row["instances"] or (), row["addresses"] or (), row["ports"] or (), row["since"] or ())
    return App(key, row["host"] or "", tuple(Endpoint(*values) for values in zip(*columns, strict=True)))

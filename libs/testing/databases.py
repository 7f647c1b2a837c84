"""Migrated databases on one PostgreSQL, each one test's alone, and emptied for the next: making one costs far more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import asyncpg

from libs import facts
from libs.db import open_database
from libs.kernel.secret import Secret

_TABLES: Final = """
select format('%I.%I', schemaname, tablename) as name from pg_tables
  where schemaname not in ('pg_catalog', 'information_schema') and tablename <> 'migrations'
"""
# Whatever is made takes a number, and whatever goes is one less. A function or a default that is replaced is not seen:
# no test does that.
_SHAPE: Final = """
select (select array[count(*), max(oid)] from pg_class), (select array[count(*), max(oid)] from pg_proc),
  (select array[count(*), max(oid)] from pg_trigger), (select array[count(*), max(oid)] from pg_constraint),
  (select count(*) from pg_attribute)
"""
_END_OTHERS: Final = (
    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()"
)


# Gives the DSN of an empty database with this schema, and these migrations.
TakeDatabase = Callable[[str, Path], Awaitable[Secret[str]]]
# The schema, and name and text of each migration.
_Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Made:
    """A database, what it looks like, and the rows that its migrations wrote, by table, as JSON."""

    name: str
    key: _Key
    shape: tuple[Any, ...]
    tables: tuple[str, ...]
    seeds: dict[str, str]


@dataclass(slots=True)
class Databases:
    """Those of one PostgreSQL; `admin` is its superuser's DSN."""

    admin: Secret[str]
    _free: dict[_Key, list[Made]] = field(default_factory=dict)
    _count: int = 0

    async def take(self, schema: str, migrations: Path) -> Made:
        """An empty database with this schema, migrated."""
        key = schema, _texts(migrations)
        free = self._free.setdefault(key, [])
        return free.pop() if free else await self._make(key, migrations)

    async def give_back(self, made: Made) -> None:
        """Ends its connections and empties it; one that a test changed the shape of is removed."""
        admin: Any = await asyncpg.connect(self.admin.reveal())
        try:
            await admin.execute(_END_OTHERS, made.name)
            if await self._emptied(made):
                self._free[made.key].append(made)
            else:
                await admin.execute(f'drop database if exists "{made.name}" with (force)')
        finally:
            await admin.close()

    def dsn(self, name: str) -> Secret[str]:
        """The superuser's DSN of one database."""
        base, _, _ = self.admin.reveal().rpartition("/")
        return Secret(f"{base}/{name}")

    async def _make(self, key: _Key, migrations: Path) -> Made:
        self._count += 1
        schema = key[0]
        name = f"test_{schema}_{self._count}"
        admin: Any = await asyncpg.connect(self.admin.reveal())
        await admin.execute(f'create database "{name}"')
        await admin.close()
        own: Any = await asyncpg.connect(self.dsn(name).reveal())
        try:
            await own.execute(f'create schema "{schema}"')
            async with open_database(self.dsn(name), schema=schema, migrations=migrations, extra=[facts.MIGRATIONS]):
                pass
            tables = tuple(row["name"] for row in await own.fetch(_TABLES))
            seeds = {
                table: rows
                for table in tables
                if (rows := await own.fetchval(f"select jsonb_agg(t) from {table} t")) is not None  # noqa: S608 - from the catalogue
            }
            return Made(name, key, tuple(await own.fetchrow(_SHAPE)), tables, seeds)
        finally:
            await own.close()

    async def _emptied(self, made: Made) -> bool:
        own: Any = await asyncpg.connect(self.dsn(made.name).reveal())
        try:
            if tuple(await own.fetchrow(_SHAPE)) != made.shape:
                return False
            async with own.transaction():
                await own.execute(f"truncate {', '.join(made.tables)} restart identity cascade")
                for table, rows in made.seeds.items():
                    await own.execute(
                        f"insert into {table} overriding system value"  # noqa: S608 - from the catalogue
                        f" select * from jsonb_populate_recordset(null::{table}, $1::jsonb)",
                        rows,
                    )
            return True
        finally:
            await own.close()


def _texts(folder: Path) -> tuple[tuple[str, str], ...]:
    return tuple((f"{folder.parent.name}/{file.name}", file.read_text()) for file in sorted(folder.glob("*.sql")))

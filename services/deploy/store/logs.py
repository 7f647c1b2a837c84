"""The log in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from libs.db import Database, Row
from services.deploy.app.ports import LogQuery, LogRecord

_COLUMNS = "time, service_id, environment_id, deployment_id, instance_id, replica, stream, text"
_WHERE = "($1 = '' or deployment_id = $1) and ($1 <> '' or (service_id = $2 and ($3 = '' or environment_id = $3)))"


class PostgresLogs:
    """Lines of every service. Followers in this process are woken by a store; others look once a second."""

    def __init__(self, db: Database, *, keep_days: int) -> None:
        self._db = db
        self._keep_days = keep_days
        self._stored = asyncio.Event()

    async def append(self, records: Sequence[LogRecord], instance_id: str, offset: int) -> None:
        """Stores lines, and how far the instance's output has been read, in one transaction; wakes followers."""
        async with self._db.tx() as tx:
            # One writer at a time: a reader that has seen a cursor has seen every one before it.
            await tx.execute("select pg_advisory_xact_lock(hashtext('deploy.log_lines'))")
            await tx.executemany(
                f"insert into log_lines ({_COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8)",  # noqa: S608 - constants
                [
                    (
                        r.time,
                        r.service_id,
                        r.environment_id,
                        r.deployment_id,
                        r.instance_id,
                        r.replica,
                        r.stream,
                        r.text,
                    )
                    for r in records
                ],
            )
            if instance_id:
                await tx.execute("update instances set log_offset = $2 where id = $1", instance_id, offset)
        self._stored.set()
        self._stored = asyncio.Event()

    async def read(self, wanted: LogQuery, limit: int) -> list[LogRecord]:
        """Lines after a cursor, in order."""
        found = await self._db.fetch(
            f"select cursor, {_COLUMNS} from log_lines where {_WHERE} and cursor > $4 order by cursor limit $5",  # noqa: S608 - constants
            wanted.deployment_id,
            wanted.service_id,
            wanted.environment_id,
            wanted.after,
            limit,
        )
        return [_record(row) for row in found]

    async def tail(self, wanted: LogQuery, lines: int) -> list[LogRecord]:
        """The last lines, in order."""
        found = await self._db.fetch(
            f"select cursor, {_COLUMNS} from log_lines where {_WHERE} order by cursor desc limit $4",  # noqa: S608 - constants
            wanted.deployment_id,
            wanted.service_id,
            wanted.environment_id,
            lines,
        )
        return [_record(row) for row in reversed(found)]

    async def changed(self, seconds: float) -> None:
        """Returns when a line was stored, or after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._stored.wait()
        except TimeoutError:
            return

    async def forget_old(self) -> int:
        """Deletes lines older than the setting; tells how many."""
        return await self._db.execute(
            "delete from log_lines where time < now() - make_interval(days => $1)", self._keep_days
        )


def _record(row: Row) -> LogRecord:
    return LogRecord(**dict(row.items()))

"""Lines of build logs in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from libs.db import Database
from services.build.app.ports import Lease
from services.build.domain.model import Build, LogLine
from services.build.domain.stages import under_way


class PostgresLog:
    """The table `build_logs`. The build's row is the lock that keeps numbers without gaps."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def last(self, build_id: str) -> int:
        """Number of the last line; 0 when there is none."""
        return int(
            await self._db.fetchval("select coalesce(max(number), 0) from build_logs where build_id = $1", build_id)
        )

    async def append(self, lease: Lease, lines: Sequence[LogLine]) -> bool:
        """Keeps lines, each number once; False when the lease is lost."""
        async with self._db.tx() as tx:
            held = await tx.fetchval(
                "select true from builds where id = $1 and lease_owner = $2 and attempt = $3 and state = 'running'"
                " for update",
                lease.build_id,
                lease.owner,
                lease.attempt,
            )
            if not held:
                return False
            await tx.execute(
                "insert into build_logs (build_id, number, time, step, stream, text)"
                " select $1, * from unnest($2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::text[])"
                " on conflict (build_id, number) do nothing",
                lease.build_id,
                [line.number for line in lines],
                [line.time for line in lines],
                [line.step for line in lines],
                [line.stream for line in lines],
                [line.text for line in lines],
            )
        return True

    async def note(self, build_id: str, time: datetime, text: str) -> None:
        """Adds a line of the platform's to a build that is queued; its row keeps who begins it waiting."""
        async with self._db.tx() as tx:
            if await tx.fetchval("select true from builds where id = $1 and state = 'queued' for update", build_id):
                await self._last_word(build_id, time, "queue", text)

    async def close(self, build: Build, time: datetime, text: str) -> None:
        """Adds the platform's last word; called after the build's row was changed in the same transaction."""
        await self._last_word(build.id, time, under_way(build.stages) or "queue", text)

    async def _last_word(self, build_id: str, time: datetime, step: str, text: str) -> None:
        await self._db.execute(
            "insert into build_logs (build_id, number, time, step, stream, text)"
            " select $1, coalesce(max(number), 0) + 1, $2, $4, 'platform', $3"
            " from build_logs where build_id = $1",
            build_id,
            time,
            text,
            step,
        )

    async def read(self, build_id: str, after: int, limit: int) -> list[LogLine]:
        """Lines with number > after, in order."""
        rows = await self._db.fetch(
            "select number, time, step, stream, text from build_logs where build_id = $1 and number > $2"
            " order by number limit $3",
            build_id,
            after,
            limit,
        )
        return [LogLine(**row) for row in rows]

"""The outbox: facts written in the transaction of the change they tell of."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from libs.db import Database, Row
from libs.facts.fact import Fact, NewFact
from libs.kernel.clock import Clock
from libs.kernel.ids import new_id
from libs.telemetry import inject

PAGE: Final = 500
# A follower may be away this long and still miss nothing.
KEPT: Final = timedelta(days=30)
_COLUMNS: Final = "id, sequence, subject, workspace_id, correlation_id, recorded_at, traceparent, payload"


class Outbox:
    """The facts of one service: recorded, numbered, read back."""

    def __init__(self, db: Database, service: str, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self.service = service

    async def record(self, fact: NewFact) -> None:
        """Writes the fact into the running transaction; it is told if and only if that commits."""
        if not self._db.in_tx:
            raise RuntimeError("a fact is recorded in the transaction of its change")
        await self._db.execute(
            "insert into outbox (id, subject, workspace_id, correlation_id, recorded_at, traceparent, payload)"
            " values ($1, $2, $3, $4, $5, $6, $7)",
            new_id("fact", self._clock),
            fact.subject,
            fact.workspace_id,
            fact.correlation_id,
            self._clock.now(),
            inject(),
            fact.payload,
        )

    async def read(self, after: int, limit: int = PAGE, correlation_id: str = "") -> list[Fact]:
        """Numbered facts with sequence > after, in order; only those of a correlation id when it is given."""
        rows = await self._db.fetch(
            f"select {_COLUMNS} from outbox where sequence > $1 and ($3 = '' or correlation_id = $3)"  # noqa: S608 - a constant
            " order by sequence limit $2",
            after,
            min(limit or PAGE, PAGE),
            correlation_id,
        )
        return [self._fact(row) for row in rows]

    async def head(self) -> int:
        """The newest sequence given out."""
        return int(await self._db.fetchval("select sequence from outbox_head"))

    async def number(self) -> int:
        """Gives every unnumbered fact the next sequence, in the order of their insertion; tells how many."""
        async with self._db.tx() as tx:
            last = int(await tx.fetchval("select sequence from outbox_head for update"))
            count = await tx.execute(
                "update outbox set sequence = numbered.next from ("
                " select position, $1::bigint + row_number() over (order by position) as next"
                " from outbox where sequence is null) numbered"
                " where outbox.position = numbered.position",
                last,
            )
            if count:
                await tx.execute("update outbox_head set sequence = $1", last + count)
            return count

    async def unpublished(self) -> list[Fact]:
        """Numbered facts that the bus may not have yet, in order."""
        return await self.read(int(await self._db.fetchval("select published from outbox_head")))

    async def published(self, sequence: int) -> None:
        """Remembers that the bus has everything up to `sequence`. Lost, it costs a duplicate: not synced."""
        async with self._db.tx() as tx:
            await tx.execute("set local synchronous_commit = off")
            await tx.execute("update outbox_head set published = greatest(published, $1)", sequence)

    async def forget_old(self) -> int:
        """Deletes facts that the bus has had for longer than they are kept; tells how many."""
        return await self._db.execute(
            "delete from outbox where recorded_at < $1 and sequence <= (select published from outbox_head)",
            self._clock.now() - KEPT,
        )

    def _fact(self, row: Row) -> Fact:
        return Fact(source=self.service, **dict(row.items()))

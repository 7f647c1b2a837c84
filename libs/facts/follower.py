"""A follower: reacts to another service's facts, each once, in order, with no gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from prometheus_client import Counter

from libs.bus import Bus, Message
from libs.db import Database, Tx
from libs.facts.fact import Fact, Handler, from_message, to_message
from libs.kernel.clock import Clock
from libs.kernel.errors import Failure, NotFound, Unavailable
from libs.telemetry import get_logger, span

PERIOD_SECONDS: Final = 5.0
MAX_ATTEMPTS: Final = 5
FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 10.0
DEAD: Final = Counter("lightrail_facts_dead_total", "Facts that ended as dead letters.", ["service", "source"])

# Facts of the source with sequence > after, in order.
Read = Callable[[int], Awaitable[Sequence[Fact]]]


class Follower:
    """Follows one source. The bus wakes it and usually brings the fact; the source's own feed fills every gap."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        clock: Clock,
        *,
        service: str,
        source: str,
        reactions: Mapping[str, Handler],
        read: Read,
    ) -> None:
        self._db = db
        self._bus = bus
        self._clock = clock
        self._reactions = reactions
        self._read = read
        self._one_at_a_time = asyncio.Lock()
        self._cursor: int | None = None
        # Tries of the next fact that failed by its own fault, and those that failed because something was away.
        self._attempts = 0
        self._waits = 0
        self.service = service
        self.source = source
        self._log = get_logger(f"follower/{service}/{source}")

    async def run(self) -> None:
        """Reacts for ever: to what the bus brings, and to what a periodic look at the source finds."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen())
            group.create_task(self._look())

    async def take(self, fact: Fact) -> None:
        """Reacts to this fact, and to every one before it that was missed. Raises what should be tried again."""
        async with self._one_at_a_time:
            cursor = await self._position()
            if fact.sequence == cursor + 1:
                await self._react(fact)
        if fact.sequence > cursor + 1:
            await self.catch_up()

    async def catch_up(self) -> None:
        """Reacts to everything the source has that was not seen yet.

        A source that does not answer holds up nobody: what the bus brings meanwhile is taken.
        """
        while facts := await self._read(await self._known()):
            async with self._one_at_a_time:
                await self._skip_forgotten(facts[0])
                for fact in facts:
                    if fact.sequence > await self._position():
                        await self._react(fact)

    async def _known(self) -> int:
        async with self._one_at_a_time:
            return await self._position()

    async def _skip_forgotten(self, oldest: Fact) -> None:
        """Moves to the oldest fact the source still has, when what came before was deleted by age."""
        cursor = await self._position()
        if oldest.sequence > cursor + 1:
            self._log.warning("history.gone", after=cursor, oldest=oldest.sequence)
            await self._db.execute(
                "update inbox set sequence = $2 where source = $1 and sequence < $2", self.source, oldest.sequence - 1
            )
            self._cursor = oldest.sequence - 1

    async def replay(self, fact_id: str) -> None:
        """Reacts to a dead letter again; it leaves the list in the same transaction."""
        async with self._db.tx() as tx:
            row = await tx.fetchrow(
                "delete from dead_letters where fact_id = $1 and source = $2 returning *", fact_id, self.source
            )
            if row is None:
                raise NotFound(f"There is no dead letter {fact_id} from {self.source}.")
            fields = {name: row[name] for name in Fact.__dataclass_fields__ if name != "id"}
            fact = Fact(id=row["fact_id"], **fields)
            await self._reactions[fact.subject](fact)

    async def _listen(self) -> None:
        async with self._bus.consume(f"lightrail.{self.source}.>", f"{self.service}-{self.source}") as deliveries:
            async for delivery in deliveries:
                try:
                    await self.take(from_message(delivery.message))
                except Exception as error:  # noqa: BLE001 - the fact stays unacknowledged and comes again
                    self._log.warning("reaction.postponed", error=str(error), exc_info=not isinstance(error, Failure))
                    await delivery.nak(self._backoff())
                else:
                    await delivery.ack()

    async def _look(self) -> None:
        while True:
            try:
                await self.catch_up()
            except Exception as error:  # noqa: BLE001 - looked at again a period later
                self._log.info("look.failed", error=str(error), exc_info=not isinstance(error, Failure))
                self._cursor = None
                await self._clock.sleep(self._backoff())
            else:
                await self._clock.sleep(PERIOD_SECONDS)

    async def _position(self) -> int:
        if self._cursor is None:
            await self._db.execute(
                "insert into inbox (source, sequence) values ($1, 0) on conflict do nothing", self.source
            )
            self._cursor = int(await self._db.fetchval("select sequence from inbox where source = $1", self.source))
        return self._cursor

    async def _react(self, fact: Fact) -> None:
        handler = self._reactions.get(fact.subject)
        try:
            async with self._db.tx() as tx:
                if handler is None:
                    await tx.execute("set local synchronous_commit = off")
                await self._advance(tx, fact)
                if handler is not None:
                    with span(f"{self.service}/events/{fact.subject}", link=fact.traceparent):
                        await handler(fact)
        except Unavailable:
            self._cursor = None
            self._waits += 1
            raise
        except Exception as error:
            self._cursor = None
            self._attempts += 1
            if self._attempts < MAX_ATTEMPTS:
                raise
            await self._bury(fact, error)
        self._attempts = self._waits = 0
        self._cursor = fact.sequence

    async def _advance(self, tx: Tx, fact: Fact) -> None:
        """Moves the cursor by one, or raises when another replica has been here."""
        moved = await tx.execute(
            "update inbox set sequence = $2 where source = $1 and sequence = $2 - 1", self.source, fact.sequence
        )
        if not moved:
            raise Unavailable(f"Another replica reacts to {self.source}'s facts too; looking again.")

    async def _bury(self, fact: Fact, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        self._log.error("fact.died", fact=fact.id, subject=fact.subject, reason=reason, attempts=self._attempts)
        async with self._db.tx() as tx:
            await self._advance(tx, fact)
            await tx.execute(
                "insert into dead_letters (fact_id, source, sequence, subject, workspace_id, correlation_id, "
                " recorded_at, traceparent, payload, reason, attempts, died_at) "
                " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
                " on conflict (fact_id) do update set reason = excluded.reason, died_at = excluded.died_at",
                fact.id,
                fact.source,
                fact.sequence,
                fact.subject,
                fact.workspace_id,
                fact.correlation_id,
                fact.recorded_at,
                fact.traceparent,
                fact.payload,
                reason,
                self._attempts,
                self._clock.now(),
            )
        DEAD.labels(self.service, self.source).inc()
        letter = to_message(fact)
        message = Message(
            f"dead.{self.service}.{fact.subject}", letter.data, {**letter.headers, "lightrail-reason": reason[:500]}
        )
        try:
            await self._bus.publish(message, message_id=f"dead-{self.service}-{fact.id}")
        except Unavailable:
            self._log.warning("dead_letter.not_announced", fact=fact.id)  # the table has it; the stream is an echo

    def _backoff(self) -> float:
        return min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(self._attempts + self._waits, 10))

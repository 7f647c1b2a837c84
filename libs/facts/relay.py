"""The relay: numbers facts and puts them on the bus, in order, by one process at a time."""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import Counter

from libs.bus import Bus
from libs.db import Database, leased, listen
from libs.facts.fact import to_message
from libs.facts.outbox import Outbox
from libs.kernel.clock import Clock
from libs.kernel.errors import Failure
from libs.telemetry import get_logger

PERIOD_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 0.5
FORGET_SECONDS: Final = 3600.0
RELAYED: Final = Counter("lightrail_facts_relayed_total", "Facts put on the bus.", ["service"])


class Relay:
    """Runs for ever: woken by NOTIFY, or by its period when a wake was lost."""

    def __init__(self, db: Database, outbox: Outbox, bus: Bus, clock: Clock) -> None:
        self._db = db
        self._outbox = outbox
        self._bus = bus
        self._clock = clock
        self._forget_at = 0.0
        self._log = get_logger(f"relay/{outbox.service}")

    async def run(self) -> None:
        """Holds the lease and relays; a lost database or bus means: begin again."""
        while True:
            try:
                await self._hold()
            except Failure as error:
                self._log.info("relay.interrupted", error=str(error))
                await self._clock.sleep(RETRY_SECONDS)

    async def once(self) -> int:
        """Numbers and publishes everything there is; tells how many facts went out."""
        await self._outbox.number()
        sent = 0
        while facts := await self._outbox.unpublished():
            for fact in facts:
                await self._bus.publish(to_message(fact), message_id=fact.id)
            await self._outbox.published(facts[-1].sequence)
            sent += len(facts)
        RELAYED.labels(self._outbox.service).inc(sent)
        return sent

    async def _forget_old(self) -> None:
        now = self._clock.monotonic()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            await self._outbox.forget_old()

    async def _hold(self) -> None:
        woken = asyncio.Event()
        channel = f"{self._db.schema}_outbox"
        async with (
            leased(self._db, "relay", self._clock) as connection,
            listen(connection, {channel: lambda _payload: woken.set()}) as lost,
        ):
            connection_ends = asyncio.ensure_future(lost.wait())
            try:
                while not lost.is_set():
                    woken.clear()
                    await self.once()
                    await self._forget_old()
                    wake = asyncio.ensure_future(woken.wait())
                    try:
                        await asyncio.wait(
                            {wake, connection_ends}, timeout=PERIOD_SECONDS, return_when=asyncio.FIRST_COMPLETED
                        )
                    finally:
                        wake.cancel()
            finally:
                connection_ends.cancel()

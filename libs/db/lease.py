"""A lease: of all replicas of a service, one at a time does this work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from libs.db.database import Connection, Database
from libs.db.errors import translated
from libs.db.notify import listen
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.telemetry import get_logger

RETRY_SECONDS: Final = 0.5


@asynccontextmanager
async def leased(db: Database, name: str, clock: Clock, *, retry_seconds: float = 1.0) -> AsyncIterator[Connection]:
    """Waits until this process holds the lease `name`, runs its body, gives it back.

    It gives the connection that holds the lease, to listen on. The lease is a session's advisory lock: it ends with
    the connection, so a dead process never keeps it. Unavailable when the database goes away before it is held.
    """
    async with db.connection() as connection:
        key = f"{db.schema}:{name}"
        while not await _locks(connection, key):
            await clock.sleep(retry_seconds)
        yield connection


async def _locks(connection: Connection, key: str) -> bool:
    with translated():
        return bool(await connection.fetchval("select pg_try_advisory_lock(hashtext($1))", key))


async def run_leased(db: Database, name: str, clock: Clock, work: Callable[[], Awaitable[None]]) -> None:
    """Runs `work` for ever, on one replica at a time: it is cancelled when the lease is lost, and begun again."""
    log = get_logger(f"lease/{db.schema}/{name}")
    while True:
        try:
            async with leased(db, name, clock) as connection, listen(connection, {}) as lost:
                await _until(lost, work)
        except Unavailable as error:
            log.info("lease.interrupted", error=str(error))
        await clock.sleep(RETRY_SECONDS)


async def _until(lost: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()
        raise RuntimeError("work under a lease returned")

    working = asyncio.ensure_future(run())
    ending = asyncio.ensure_future(lost.wait())
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        ending.cancel()
        working.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)

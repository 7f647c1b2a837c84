"""A lease: of all replicas of a service, one at a time does this work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.db.database import Connection, Database
from libs.kernel.clock import Clock


@asynccontextmanager
async def leased(db: Database, name: str, clock: Clock, *, retry_seconds: float = 1.0) -> AsyncIterator[Connection]:
    """Waits until this process holds the lease `name`, runs its body, gives it back.

    It gives the connection that holds the lease, to listen on. The lease is a session's advisory lock: it ends with
    the connection, so a dead process never keeps it.
    """
    async with db.connection() as connection:
        key = f"{db.schema}:{name}"
        while not await connection.fetchval("select pg_try_advisory_lock(hashtext($1))", key):
            await clock.sleep(retry_seconds)
        try:
            yield connection
        finally:
            if not connection.is_closed():
                await connection.execute("select pg_advisory_unlock(hashtext($1))", key)

"""A pool bound to one schema; transactions that nested calls join."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from libs.db.errors import translated
from libs.db.migrate import migrate
from libs.kernel.errors import Unavailable
from libs.kernel.secret import Secret

Row = asyncpg.Record
if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[Row]
else:  # not subscriptable when it runs
    Connection = asyncpg.pool.PoolConnectionProxy
IDLE_SECONDS = 30.0
# Connections that are still in use when a database is closed get this long.
CLOSE_SECONDS = 5.0


class Tx:
    """A running transaction."""

    def __init__(self, connection: Connection | asyncpg.Connection[Row]) -> None:
        self._connection = connection
        # Called, in order, once the transaction has committed.
        self.after: list[Callable[[], None]] = []

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """All rows."""
        with translated():
            return await self._connection.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row, or None."""
        with translated():
            return await self._connection.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:  # noqa: ANN401 - a value of any SQL type
        """The first column of the first row, or None."""
        with translated():
            return await self._connection.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> int:
        """Runs a statement; gives the number of rows it touched."""
        with translated():
            status = await self._connection.execute(sql, *args)
        last = status.rsplit(" ", 1)[-1]
        return int(last) if last.isdigit() else 0

    async def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Runs a statement for each row."""
        with translated():
            await self._connection.executemany(sql, rows)


class Database:
    """One service's schema. Calls outside a transaction take a connection of their own."""

    def __init__(self, pool: asyncpg.Pool[Row], schema: str) -> None:
        self._pool = pool
        self.schema = schema
        self._running: ContextVar[Tx | None] = ContextVar(f"tx-{schema}", default=None)

    @asynccontextmanager
    async def tx(self) -> AsyncIterator[Tx]:
        """A transaction; when this task is already inside one of this database, that one goes on."""
        running = self._running.get()
        if running is not None:
            yield running
            return
        with translated():
            connection = await self._pool.acquire()
        try:
            transaction = connection.transaction()
            with translated():
                await _or_end(connection, transaction.start)
            tx = Tx(connection)
            token = self._running.set(tx)
            try:
                yield tx
            except BaseException:
                await _or_end(connection, transaction.rollback, quiet=True)  # the body's own error is the news
                raise
            finally:
                self._running.reset(token)
            with translated():
                await _or_end(connection, transaction.commit)
        finally:
            await self._pool.release(connection)
        for call in tx.after:
            call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Calls when the running transaction has committed, never when it rolls back; at once outside of one."""
        running = self._running.get()
        if running is None:
            call()
        else:
            running.after.append(call)

    @property
    def in_tx(self) -> bool:
        """Whether this task is inside a transaction of this database."""
        return self._running.get() is not None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A raw connection for leases and notifications; nothing else. It ends with its use, and every lock on it."""
        with translated():
            connection = await self._pool.acquire()
        try:
            yield connection
        finally:
            _end(connection)
            await self._pool.release(connection)

    async def fetch(self, sql: str, *args: object) -> list[Row]:
        """All rows."""
        async with self._single() as tx:
            return await tx.fetch(sql, *args)

    async def fetchrow(self, sql: str, *args: object) -> Row | None:
        """The first row, or None."""
        async with self._single() as tx:
            return await tx.fetchrow(sql, *args)

    async def fetchval(self, sql: str, *args: object) -> Any:  # noqa: ANN401 - a value of any SQL type
        """The first column of the first row, or None."""
        async with self._single() as tx:
            return await tx.fetchval(sql, *args)

    async def execute(self, sql: str, *args: object) -> int:
        """Runs a statement; gives the number of rows it touched."""
        async with self._single() as tx:
            return await tx.execute(sql, *args)

    async def executemany(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Runs a statement for each row, in one implicit transaction."""
        async with self._single() as tx:
            await tx.executemany(sql, rows)

    @asynccontextmanager
    async def _single(self) -> AsyncIterator[Tx]:
        running = self._running.get()
        if running is not None:
            yield running
            return
        with translated():
            async with self._pool.acquire() as connection:
                try:
                    yield Tx(connection)
                except Unavailable as failure:
                    if isinstance(failure.__cause__, asyncpg.InternalClientError):
                        _end(connection)  # of no use to anybody, and it may take its time to notice
                    raise


@asynccontextmanager
async def open_database(
    dsn: Secret[str],
    *,
    schema: str,
    migrations: Path,
    max_size: int = 4,
    extra: Sequence[Path] = (),
) -> AsyncIterator[Database]:
    """Opens a pool on `schema`, after bringing it to the newest migration; `extra` folders come first."""
    with translated():
        pool = await asyncpg.create_pool(
            dsn.reveal(),
            min_size=0,
            max_size=max_size,
            max_inactive_connection_lifetime=IDLE_SECONDS,
            server_settings={"search_path": schema, "application_name": f"lightrail-{schema}", "jit": "off"},
            init=_prepare,
            reset=_as_it_is,
            command_timeout=30,
        )
    try:
        with translated():
            async with pool.acquire() as connection:
                await migrate(connection, schema, [*extra, migrations])
        yield Database(pool, schema)
    finally:
        await _close(pool)


async def _close(pool: asyncpg.Pool[Row]) -> None:
    """Closes a pool in bounded time: a connection whose server died half-way never says good-bye."""
    with suppress(TimeoutError):  # the pool has then ended its connections by force
        async with asyncio.timeout(CLOSE_SECONDS):
            await pool.close()


async def _or_end(connection: Connection, change: Callable[[], Awaitable[None]], *, quiet: bool = False) -> None:
    """Opens or closes a transaction; when that fails the connection ends too, so that no other use inherits it."""
    try:
        await change()
    except BaseException as error:
        _end(connection)
        if not quiet or not isinstance(error, Exception):
            raise


def _end(connection: Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it was lost already: there is nothing to end
        connection.terminate()


async def _as_it_is(_connection: asyncpg.Connection[Row]) -> None:
    """Spares a round trip a query: transactions end themselves, and what else outlives one has its own connection."""


async def _prepare(connection: asyncpg.Connection[Row] | Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(
            kind,
            schema="pg_catalog",
            encoder=lambda value: msgspec.json.encode(value).decode(),
            decoder=msgspec.json.decode,
        )

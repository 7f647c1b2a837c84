"""A server that says its last word and does not hang up, as the backends of a killed PostgreSQL do for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from libs.db import Database, database, leased, listen, open_database
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.kernel.secret import Secret
from libs.testing.eventually import eventually


class Line:
    """Passes bytes on between a client and PostgreSQL; it hides from the client that the server hung up."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._writers: list[asyncio.StreamWriter] = []
        # Connections on which the server has hung up.
        self.hidden = 0
        self.port = 0

    async def listen(self, stack: AsyncExitStack) -> None:
        listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = listening.sockets[0].getsockname()[1]
        stack.callback(listening.close)
        stack.callback(self._hang_up)

    def _hang_up(self) -> None:
        for writer in self._writers:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*self._server)
        self._writers += [writer, to_server]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pass_on(from_server, writer))
            await _pass(reader, to_server)
            to_server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _pass(reader, writer)
        self.hidden += 1


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        return


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as made:
        yield made


@pytest.fixture
async def line(stack: AsyncExitStack, postgres_dsn: Secret[str]) -> Line:
    parts = urlsplit(postgres_dsn.reveal())
    made = Line(str(parts.hostname), int(parts.port or 0))
    await made.listen(stack)
    return made


@pytest.fixture
async def db(
    stack: AsyncExitStack, line: Line, postgres_dsn: Secret[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Database:
    monkeypatch.setattr(database, "CLOSE_SECONDS", 0.1)
    parts = urlsplit(postgres_dsn.reveal())
    place = f"{parts.netloc.rpartition('@')[0]}@127.0.0.1:{line.port}"
    dsn = Secret(parts._replace(netloc=place).geturl())
    return await stack.enter_async_context(open_database(dsn, schema="public", migrations=tmp_path))


async def end_backends(postgres_dsn: Secret[str], line: Line) -> None:
    """The server ends every connection that goes over the line; the line has heard it when this returns."""
    admin = await asyncpg.connect(postgres_dsn.reveal())
    name = "lightrail-public"
    ended = await admin.fetch(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = $1", name
    )
    await admin.close()
    assert ended
    await eventually(lambda: line.hidden >= len(ended))


async def test_a_connection_that_heard_the_last_word_is_lost_and_not_used_again(
    db: Database, line: Line, postgres_dsn: Secret[str]
) -> None:
    assert await db.fetchval("select 1") == 1
    await end_backends(postgres_dsn, line)
    with pytest.raises(Unavailable):
        await db.fetchval("select 1")
    assert await db.fetchval("select 1") == 1


async def test_a_transaction_cannot_begin_on_it_and_the_next_one_can(
    db: Database, line: Line, postgres_dsn: Secret[str]
) -> None:
    assert await db.fetchval("select 1") == 1
    await end_backends(postgres_dsn, line)
    with pytest.raises(Unavailable):
        async with db.tx():
            pytest.fail("it began")
    async with db.tx() as tx:
        assert await tx.fetchval("select 1") == 1


async def test_a_lease_cannot_be_taken_on_it(
    db: Database, line: Line, postgres_dsn: Secret[str], system_clock: Clock
) -> None:
    assert await db.fetchval("select 1") == 1
    await end_backends(postgres_dsn, line)
    with pytest.raises(Unavailable):
        async with leased(db, "work", system_clock):
            pytest.fail("it was taken")
    async with leased(db, "work", system_clock):
        pass


async def test_nobody_listens_on_it(db: Database, line: Line, postgres_dsn: Secret[str]) -> None:
    assert await db.fetchval("select 1") == 1
    await end_backends(postgres_dsn, line)
    with pytest.raises(Unavailable):
        async with db.connection() as connection, listen(connection, {"news": print}):
            pytest.fail("it listens")


async def test_closing_does_not_wait_for_ever_for_what_is_in_use(
    postgres_dsn: Secret[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CLOSE_SECONDS", 0.1)
    async with AsyncExitStack() as used, asyncio.timeout(5):
        async with open_database(postgres_dsn, schema="public", migrations=tmp_path) as opened:
            connection = await used.enter_async_context(opened.connection())
            assert await connection.fetchval("select 1") == 1
        with pytest.raises(asyncpg.InterfaceError, match="released"):
            await connection.fetchval("select 1")

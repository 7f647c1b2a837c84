from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from libs.db import Database, leased, listen, open_database, run_leased, wake_on
from libs.kernel.clock import Clock
from libs.kernel.errors import Conflict, Invalid, Unavailable
from libs.kernel.secret import Secret
from libs.testing.eventually import eventually

OpenDatabase = Callable[..., Awaitable[Database]]


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "things" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_things.sql").write_text("create table things (name text primary key, data jsonb);")
    return folder


@pytest.fixture
async def db(open_db: OpenDatabase, migrations: Path) -> Database:
    return await open_db("things", migrations)


async def test_nested_transaction_joins_the_running_one(db: Database) -> None:
    with suppress(ZeroDivisionError):
        async with db.tx():
            async with db.tx() as inner:
                await inner.execute("insert into things values ('a', null)")
            assert await db.fetchval("select count(*) from things") == 1
            raise ZeroDivisionError
    assert await db.fetchval("select count(*) from things") == 0


async def test_other_tasks_are_not_inside(db: Database) -> None:
    async with asyncio.TaskGroup() as group:
        async with db.tx():
            seen = group.create_task(_in_tx(db))
        assert (await seen) is True  # a child inherits the context …
    assert not db.in_tx


async def _in_tx(db: Database) -> bool:
    return db.in_tx


async def test_what_waits_for_a_commit_is_called_after_it_and_never_after_a_rollback(db: Database) -> None:
    called: list[str] = []
    async with db.tx():
        db.after_commit(lambda: called.append("kept"))
        assert called == []
    with suppress(ZeroDivisionError):
        async with db.tx():
            db.after_commit(lambda: called.append("lost"))
            raise ZeroDivisionError
    db.after_commit(lambda: called.append("at once"))
    assert called == ["kept", "at once"]


async def test_second_of_its_kind_is_a_conflict(db: Database) -> None:
    await db.execute("insert into things values ('a', null)")
    with pytest.raises(Conflict):
        await db.execute("insert into things values ('a', null)")


async def test_what_postgresql_cannot_store_is_the_callers_fault(db: Database) -> None:
    with pytest.raises(Invalid, match="NUL"):
        await db.execute("insert into things values ($1, null)", "a\0b")
    with pytest.raises(Invalid, match="NUL"):
        await db.fetchrow("select * from things where name = $1", "a\0b")


async def test_json_goes_in_and_out_as_data(db: Database) -> None:
    await db.execute("insert into things values ('a', $1)", {"list": [1, "zwei"]})
    assert await db.fetchval("select data from things") == {"list": [1, "zwei"]}


async def test_database_that_is_away_is_unavailable(migrations: Path) -> None:
    nowhere = Secret("postgresql://a:b@127.0.0.1:1/x")
    with pytest.raises(Unavailable):
        async with open_database(nowhere, schema="things", migrations=migrations):
            pass


async def test_connection_that_is_killed_is_unavailable_and_the_next_one_works(db: Database) -> None:
    with pytest.raises(Unavailable):
        await db.execute("select pg_terminate_backend(pg_backend_pid())")
    assert await db.fetchval("select 1") == 1


async def test_fault_of_the_body_keeps_its_name(db: Database) -> None:
    with pytest.raises(FileNotFoundError):
        async with db.tx():
            raise FileNotFoundError("not the database's fault")
    assert await db.fetchval("select 1") == 1


async def test_cancelled_transaction_leaves_a_clean_connection(db: Database) -> None:
    for _ in range(8):
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02), db.tx() as tx:
                await tx.execute("insert into things values ('a', null)")
                await tx.fetchval("select pg_sleep(5)")
    assert await db.fetchval("select count(*) from things") == 0


async def test_changed_migration_is_refused(
    db: Database, migrations: Path, postgres_dsn: Secret[str], open_db: OpenDatabase
) -> None:
    name = await db.fetchval("select current_database()")
    dsn = Secret(postgres_dsn.reveal().rpartition("/")[0] + f"/{name}")
    (migrations / "0002_more.sql").write_text("create table more ();")
    async with open_database(dsn, schema="things", migrations=migrations) as again:
        assert await again.fetchval("select count(*) from more") == 0
    (migrations / "0001_things.sql").write_text("-- different")
    with pytest.raises(Conflict, match="changed"):
        async with open_database(dsn, schema="things", migrations=migrations):
            pass


@pytest.mark.parametrize("files", [["1_a.sql"], ["0001_a.sql", "0001_b.sql"]])
async def test_misnamed_migrations_are_refused(
    db: Database, tmp_path: Path, files: list[str], postgres_dsn: Secret[str]
) -> None:
    folder = tmp_path / "wrong"
    folder.mkdir()
    for file in files:
        (folder / file).write_text("select 1;")
    name = await db.fetchval("select current_database()")
    with pytest.raises(Invalid):
        async with open_database(
            Secret(postgres_dsn.reveal().rpartition("/")[0] + f"/{name}"), schema="things", migrations=folder
        ):
            pass


async def test_one_holder_of_a_lease_at_a_time(db: Database, system_clock: Clock) -> None:
    holding, most = 0, 0

    async def work() -> None:
        nonlocal holding, most
        async with leased(db, "job", system_clock, retry_seconds=0.01):
            holding += 1
            most = max(most, holding)
            await db.fetchval("select pg_sleep(0.02)")
            holding -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(work())
    assert most == 1


async def test_work_under_a_lost_lease_is_stopped_and_begun_again(db: Database, system_clock: Clock) -> None:
    begun, ended = 0, 0

    async def work() -> None:
        nonlocal begun, ended
        begun += 1
        try:
            await asyncio.Event().wait()
        finally:
            ended += 1

    async with asyncio.TaskGroup() as group:
        running = group.create_task(run_leased(db, "job", system_clock, work))
        await eventually(lambda: begun == 1)
        await db.execute(
            "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
        )
        await eventually(lambda: (begun, ended) == (2, 1))
        running.cancel()


async def test_notifications_arrive_and_a_lost_connection_is_told(db: Database) -> None:
    heard: list[str] = []
    async with db.connection() as connection, listen(connection, {"news": heard.append}) as lost:
        await db.execute("select pg_notify('news', 'hello')")
        await eventually(lambda: heard == ["hello"])
        await db.execute("select pg_terminate_backend($1)", connection.get_server_pid())
        await eventually(lost.is_set)


async def test_whoever_is_woken_by_the_database_is_woken_again_after_a_lost_connection(
    db: Database, system_clock: Clock
) -> None:
    woken: list[None] = []
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(wake_on(db, "news", lambda: woken.append(None), system_clock))
        await eventually(lambda: len(woken) == 1)
        await db.execute("select pg_notify('news', '')")
        await eventually(lambda: len(woken) == 2)
        await db.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where query ilike 'listen%' and datname = current_database() and pid <> pg_backend_pid()"
        )
        await eventually(lambda: len(woken) == 3)
        await db.execute("select pg_notify('news', '')")
        await eventually(lambda: len(woken) == 4)
        listening.cancel()

from __future__ import annotations

import os
from pathlib import Path

import asyncpg
import pytest

from libs.db.provision import Tenant, provision
from libs.embedded import account, envoy, nats, ports, postgres, probe, trial
from libs.embedded.part import Spec, launch
from libs.kernel.errors import Denied, Unavailable
from libs.kernel.secret import Secret

pytestmark = pytest.mark.wheels


def closed(folder: Path) -> None:
    folder.chmod(0o700)


def said_by_kernel(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


async def test_postgres_keeps_its_data_and_needs_its_password(folder: Path) -> None:
    async with postgres.running(folder / "pg") as first:
        connection = await asyncpg.connect(first.admin_dsn.reveal())
        await connection.execute("create table kept as select 1 as one")
        await connection.close()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(f"postgresql://postgres:guess@{first.host}:{first.port}/postgres")
    assert not probe.listens(ports.LOOPBACK, first.port)
    async with postgres.running(folder / "pg") as second:
        connection = await asyncpg.connect(second.admin_dsn.reveal())
        assert await connection.fetchval("select one from kept") == 1
        await connection.close()


async def test_an_initdb_that_was_killed_half_way_is_begun_again(folder: Path) -> None:
    (folder / "pg" / "fresh").mkdir(parents=True)
    (folder / "pg" / "fresh" / "PG_VERSION").write_text("18\n")
    async with postgres.running(folder / "pg") as made:
        assert probe.postgres_accepts(made.host, made.port)


async def test_a_lock_of_a_dead_server_whose_pid_lives_on_elsewhere_is_forgotten(folder: Path) -> None:
    async with postgres.running(folder / "pg"):
        pass
    lock = folder / "pg" / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{folder}\n")
    async with postgres.running(folder / "pg") as again:
        assert probe.postgres_accepts(again.host, again.port)


async def test_data_of_another_version_is_refused_in_a_sentence(folder: Path) -> None:
    (folder / "pg" / "data").mkdir(parents=True)
    (folder / "pg" / "data" / "PG_VERSION").write_text("15\n")
    with pytest.raises(Unavailable, match="was written by PostgreSQL 15; this is PostgreSQL 18"):
        async with postgres.running(folder / "pg"):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts parts as another account")
async def test_parts_run_unprivileged_also_below_directories_closed_to_others(folder: Path) -> None:
    closed(folder)
    nobody = account.unprivileged()
    assert nobody
    async with (
        postgres.running(folder / "pg") as database,
        nats.running(folder / "nats") as bus,
        envoy.running(folder / "envoy", "127.0.0.1:1") as edge,
    ):
        for process in (database.process, bus.process, edge.process):
            assert f"Uid:\t{nobody.uid}\t{nobody.uid}\t{nobody.uid}" in said_by_kernel(process.pid)
            assert "CapEff:\t0000000000000000" in said_by_kernel(process.pid)


async def test_a_part_that_cannot_start_gives_its_last_words(folder: Path) -> None:
    spec = Spec("cat", ("/bin/cat", "/no/such/file"), env={}, log=folder / "cat.log", port=0, ready=lambda: False)
    with pytest.raises(Unavailable, match=r"cat ended with code 1\.\n.*No such file"):
        async with trial.running(spec, launch):
            pass


async def test_provisioning_is_harmless_to_repeat_and_keeps_services_apart(folder: Path) -> None:
    async with postgres.running(folder / "pg") as server:
        tenants = [Tenant("auth", "x_auth", Secret("first")), Tenant("build", "x_build", Secret("second"))]
        for _ in range(2):
            await provision(server.admin_dsn, "x", tenants)
        auth = await asyncpg.connect(f"postgresql://x_auth:first@{server.host}:{server.port}/x")
        build = await asyncpg.connect(f"postgresql://x_build:second@{server.host}:{server.port}/x")
        await auth.execute("create table users (id int)")
        assert await auth.fetchval("select schemaname from pg_tables where tablename = 'users'") == "auth"
        for forbidden in ("select * from auth.users", "create table auth.mine ()", "create table public.mine ()"):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await build.execute(forbidden)
        await auth.close()
        await build.close()
        changed = [Tenant("auth", "x_auth", Secret("third")), tenants[1]]
        await provision(server.admin_dsn, "x", changed)
        await (await asyncpg.connect(f"postgresql://x_auth:third@{server.host}:{server.port}/x")).close()


async def test_an_account_that_may_not_prepare_the_database_is_told_so(folder: Path) -> None:
    async with postgres.running(folder / "pg") as server:
        tenants = [Tenant("auth", "x_auth", Secret("first"))]
        await provision(server.admin_dsn, "x", tenants)
        place = f"{server.host}:{server.port}"
        with pytest.raises(Denied, match="CREATEDB and CREATEROLE"):
            await provision(Secret(f"postgresql://x_auth:first@{place}/x"), "y", tenants)
        with pytest.raises(Denied, match="does not accept the account"):
            await provision(Secret(f"postgresql://x_auth:wrong@{place}/x"), "x", tenants)

"""Makes the platform's database: one role and one schema for each service, closed to the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from libs.db.errors import translated
from libs.kernel.errors import Denied
from libs.kernel.secret import Secret

# Connections one service may hold: the pools of some replicas, leases, listeners.
_CONNECTIONS = 20
_TIMEOUT_SECONDS = 10.0
# Any number that all provisioners of a server agree on.
_LOCK = 0x6C72_7072


@dataclass(frozen=True, slots=True)
class Tenant:
    """One service of the database: its schema, its role, the role's password."""

    schema: str
    role: str
    password: Secret[str]


async def provision(admin: Secret[str], database: str, tenants: Sequence[Tenant]) -> None:
    """Makes what is missing and sets each role's password; repeating it changes nothing else.

    `admin`: the URL of an account that may make databases and roles. Unavailable when the server is away, Denied when
    it refuses the account or what the account wants to do.
    """
    with translated(), _refused():
        await _make_database(admin, database)
        connection = await asyncpg.connect(_on(admin, database).reveal(), timeout=_TIMEOUT_SECONDS)
        try:
            async with connection.transaction():
                await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
                await connection.execute(f"revoke all on database {_quoted(database)} from public")
                await connection.execute("revoke all on schema public from public")
                for tenant in tenants:
                    await _admit(connection, database, tenant)
        finally:
            await connection.close()


async def _make_database(admin: Secret[str], name: str) -> None:
    try:
        connection = await asyncpg.connect(admin.reveal(), timeout=_TIMEOUT_SECONDS)
    except asyncpg.InvalidCatalogNameError:
        connection = await asyncpg.connect(_on(admin, "postgres").reveal(), timeout=_TIMEOUT_SECONDS)
    try:
        if await connection.fetchval("select 1 from pg_database where datname = $1", name):
            return
        try:
            await connection.execute(f"create database {_quoted(name)} encoding 'UTF8' template template0")
        except (asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
            return  # another provisioner was faster
    finally:
        await connection.close()


async def _admit(connection: asyncpg.Connection[asyncpg.Record], database: str, tenant: Tenant) -> None:
    role, schema = _quoted(tenant.role), _quoted(tenant.schema)
    if not await connection.fetchval("select 1 from pg_roles where rolname = $1", tenant.role):
        await connection.execute(f"create role {role} login noinherit")
    await connection.execute(
        f"alter role {role} login connection limit {_CONNECTIONS} password {_literal(tenant.password.reveal())}"
    )
    await connection.execute(f"grant connect on database {_quoted(database)} to {role}")
    if not await connection.fetchval("select rolsuper from pg_roles where rolname = current_user"):
        # Who is no superuser must belong to the role it makes a schema for.
        await connection.execute(f"grant {role} to current_user")
    await connection.execute(f"create schema if not exists {schema} authorization {role}")
    await connection.execute(f"revoke all on schema {schema} from public")
    await connection.execute(f"alter role {role} in database {_quoted(database)} set search_path = {schema}")


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except (asyncpg.InvalidPasswordError, asyncpg.InvalidAuthorizationSpecificationError) as error:
        raise Denied(
            "PostgreSQL does not accept the account of LIGHTRAIL_DATABASE_URL.", hint="Correct its name or password."
        ) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise Denied(
            f"The account of LIGHTRAIL_DATABASE_URL may not prepare the database: {error}.",
            hint="Give it CREATEDB and CREATEROLE, or make the database for it and name it in the URL.",
        ) from error


def _on(admin: Secret[str], database: str) -> Secret[str]:
    return Secret(urlunsplit(urlsplit(admin.reveal())._replace(path=f"/{database}")))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"

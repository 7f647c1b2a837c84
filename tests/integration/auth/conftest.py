"""Auth on real PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from libs.db import Database
from libs.facts import Outbox
from libs.rpc import Identity
from libs.testing.clock import VirtualClock
from libs.testing.plugin import OpenDatabase
from services.auth.events.codec import encode
from services.auth.main import MIGRATIONS
from services.auth.store.outbox import OutboxFacts
from services.auth.store.postgres import PostgresSessions, PostgresTokens, PostgresUsers, PostgresWorkspaces
from tests.unit.auth.world import Stores, World


def stores_in_postgres(db: Database, clock: VirtualClock) -> Stores:
    async def told() -> list[str]:
        return [row["subject"] for row in await db.fetch("select subject from outbox order by position")]

    return Stores(
        work=db.tx,
        users=PostgresUsers(db),
        workspaces=PostgresWorkspaces(db),
        tokens=PostgresTokens(db),
        sessions=PostgresSessions(db),
        facts=OutboxFacts(Outbox(db, "auth", clock), encode),
        told=told,
    )


@pytest_asyncio.fixture
async def db(open_db: OpenDatabase) -> Database:
    return await open_db("auth", MIGRATIONS)


@pytest_asyncio.fixture
async def world(db: Database, tmp_path: Path, clock: VirtualClock, identity: Identity) -> AsyncIterator[World]:
    made = World(stores_in_postgres(db, clock), tmp_path, clock, identity)
    yield made
    made.passwords.close()

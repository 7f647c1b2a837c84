"""A fresh database of build for each test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest_asyncio

from libs.db import Database
from libs.runtime.clock import SystemClock
from tests.integration.build.world import MIGRATIONS, World


@pytest_asyncio.fixture
async def db(open_db: Callable[..., Awaitable[Database]]) -> Database:
    return await open_db("build", MIGRATIONS)


@pytest_asyncio.fixture
async def world(db: Database) -> World:
    return World(db, SystemClock())

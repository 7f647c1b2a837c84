"""Fixtures over real parts: one PostgreSQL and one NATS a test process, an own database for each test."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from threading import Thread
from typing import TypeVar

import pytest
import pytest_asyncio

from libs import facts
from libs.bus import NatsBus, connect
from libs.db import Database, open_database
from libs.embedded import nats as embedded_nats
from libs.embedded import postgres as embedded_postgres
from libs.kernel.secret import Secret
from libs.rpc import Identity
from libs.runtime.clock import SystemClock
from libs.testing.clock import VirtualClock
from libs.testing.databases import Databases, TakeDatabase

T = TypeVar("T")


class _Background:
    """An event loop in a thread, so that session-wide parts outlive each test's own loop."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Awaitable[T]) -> T:
        async def wait() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self.loop).result(timeout=60)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout=5)
        self.loop.close()


@pytest.fixture(scope="session")
def _background() -> Iterator[_Background]:
    background = _Background()
    yield background
    background.stop()


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A short temporary folder that other users may pass through: PostgreSQL and apps run as others."""
    folder = Path(tempfile.mkdtemp(prefix="lr-", dir="/tmp"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_dsn(_background: _Background, open_folder: Path) -> Iterator[Secret[str]]:
    """The superuser's DSN of a real PostgreSQL."""
    stack = AsyncExitStack()
    running = _background.run(stack.enter_async_context(embedded_postgres.running(open_folder / "postgres")))
    yield running.admin_dsn
    _background.run(stack.aclose())


@pytest.fixture(scope="session")
def nats_url(_background: _Background, open_folder: Path) -> Iterator[Secret[str]]:
    """The URL of a real NATS with JetStream."""
    stack = AsyncExitStack()
    running = _background.run(stack.enter_async_context(embedded_nats.running(open_folder / "nats")))
    yield Secret(running.url)
    _background.run(stack.aclose())


@pytest_asyncio.fixture
async def bus(nats_url: Secret[str]) -> AsyncIterator[NatsBus]:
    """A connection to the real bus."""
    connected = await connect(nats_url, name="test")
    yield connected
    await connected.close()


@pytest.fixture(scope="session")
def databases(postgres_dsn: Secret[str]) -> Databases:
    """The databases of all tests of a process."""
    return Databases(postgres_dsn)


OpenDatabase = Callable[..., Awaitable[Database]]


@pytest_asyncio.fixture
async def take_db(databases: Databases) -> AsyncIterator[TakeDatabase]:
    """The DSN of an empty, migrated database, the test's alone, by calling what it gives with schema and migrations."""
    async with AsyncExitStack() as stack:

        async def take(schema: str, migrations: Path) -> Secret[str]:
            made = await databases.take(schema, migrations)
            stack.push_async_callback(databases.give_back, made)
            return databases.dsn(made.name)

        yield take


@pytest_asyncio.fixture
async def open_db(take_db: TakeDatabase) -> AsyncIterator[OpenDatabase]:
    """The same, opened."""
    async with AsyncExitStack() as stack:

        async def make(schema: str, migrations: Path) -> Database:
            return await stack.enter_async_context(
                open_database(
                    await take_db(schema, migrations), schema=schema, migrations=migrations, extra=[facts.MIGRATIONS]
                )
            )

        yield make


@pytest.fixture
def identity(tmp_path: Path) -> Identity:
    """A fresh platform identity."""
    return Identity.generate(tmp_path / "identity.pem")


@pytest.fixture
def clock() -> VirtualClock:
    """Virtual time."""
    return VirtualClock()


@pytest.fixture
def system_clock() -> SystemClock:
    """The machine's time."""
    return SystemClock()

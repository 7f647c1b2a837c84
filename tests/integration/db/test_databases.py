"""Tests do not see each other's rows, though they have a database one after the other."""

from __future__ import annotations

from typing import Any

import asyncpg

from libs.testing.databases import Databases, Made
from services.metering.main import MIGRATIONS

PRICES = "select * from metering.prices order by resource"


async def opened(databases: Databases, made: Made) -> Any:
    return await asyncpg.connect(databases.dsn(made.name).reveal())


async def test_what_is_given_back_is_as_its_migrations_made_it(databases: Databases) -> None:
    made = await databases.take("metering", MIGRATIONS)
    left = await opened(databases, made)
    prices = await left.fetch(PRICES)
    assert prices
    await left.execute("update metering.prices set pico_usd = pico_usd + 1")
    await left.execute("update metering.outbox_head set sequence = 7")
    # The connection is left open, as a test leaves it that fails.
    await databases.give_back(made)
    again = await databases.take("metering", MIGRATIONS)
    assert again.name == made.name
    connection = await opened(databases, again)
    assert await connection.fetch(PRICES) == prices
    assert await connection.fetchval("select sequence from metering.outbox_head") == 0
    await connection.close()
    await databases.give_back(again)


async def test_what_a_test_changed_the_tables_of_is_not_given_again(databases: Databases) -> None:
    for change in ("create table metering.more ()", "alter table metering.prices add more text"):
        made = await databases.take("metering", MIGRATIONS)
        connection = await opened(databases, made)
        await connection.execute(change)
        await connection.close()
        await databases.give_back(made)
        other = await databases.take("metering", MIGRATIONS)
        assert other.name != made.name
        await databases.give_back(other)

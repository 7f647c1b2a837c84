"""LISTEN: wakes from the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from libs.db.database import Connection, Database
from libs.db.errors import translated
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable


@asynccontextmanager
async def listen(connection: Connection, channels: Mapping[str, Callable[[str], None]]) -> AsyncIterator[asyncio.Event]:
    """Calls each channel's function with the payload of every NOTIFY while its body runs.

    The event it gives is set when the connection is lost: leave, and listen again on another. Unavailable when it is
    lost before that.
    """
    lost = asyncio.Event()

    def on_end(_connection: object) -> None:
        lost.set()

    def on_notify(_connection: object, _pid: int, channel: str, payload: object) -> None:
        channels[channel](str(payload))

    with translated():
        connection.add_termination_listener(on_end)
        for channel in channels:
            await connection.add_listener(channel, on_notify)
    try:
        yield lost
    finally:
        if not lost.is_set():
            with translated():
                connection.remove_termination_listener(on_end)
                for channel in channels:
                    await connection.remove_listener(channel, on_notify)


async def wake_on(db: Database, channel: str, wake: Callable[[], None], clock: Clock) -> None:
    """Calls `wake` now and at every NOTIFY; listens again, and wakes, after the connection was lost. Ends never."""
    while True:
        try:
            async with db.connection() as connection, listen(connection, {channel: lambda _payload: wake()}) as lost:
                wake()
                await lost.wait()
        except Unavailable:
            pass  # whoever is woken looks by itself now and then; listened again below
        await clock.sleep(1.0)

"""Fills the live feed from the bus; what it misses, nobody relies on."""

from __future__ import annotations

from typing import Final

from libs.bus import Bus
from libs.facts.fact import from_message
from libs.kernel.clock import Clock
from libs.kernel.errors import Failure
from libs.telemetry import get_logger
from services.gateway.app.feed import Feed
from services.gateway.events.codec import decode

PATTERN: Final = "lightrail.>"
# Seconds before listening again when the bus went away.
AGAIN: Final = 0.5


async def listen(bus: Bus, feed: Feed, clock: Clock) -> None:
    """Runs for ever: every fact on the bus reaches the feed; listens anew when the bus comes back."""
    log = get_logger("gateway.events")
    while True:
        try:
            async with bus.listen(PATTERN) as messages:
                async for message in messages:
                    try:
                        fact = from_message(message)
                    except (KeyError, ValueError) as error:
                        log.warning("message.unreadable", subject=message.subject, error=repr(error))
                        continue
                    feed.publish(decode(fact))
        except Failure as failure:
            log.info("bus.away", error=str(failure))
        await clock.sleep(AGAIN)

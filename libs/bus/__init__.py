"""The bus: fast, at least once, and never the truth. nats is spoken only here."""

from libs.bus.memory import MemoryBus
from libs.bus.message import Bus, Delivery, Message, matches
from libs.kernel.lean import without

with without("aiohttp"):
    from libs.bus.nats import NatsBus, connect

__all__ = ["Bus", "Delivery", "MemoryBus", "Message", "NatsBus", "connect", "matches"]

"""What an engine keeps, remembered while it rests: nothing changes then, and it need not be started to be asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from services.build.adapters.images.engine import Daemon

T = TypeVar("T")


@dataclass(slots=True)
class Remembered(Generic[T]):
    """One list of things in the engine of `daemon`."""

    daemon: Daemon
    _known: list[T] = field(default_factory=list)
    # The engine's count of changes when they were listed.
    _then: int = -1

    async def look(self, ask: Callable[[], Awaitable[list[T]]]) -> list[T]:
        """The things as they are. Unavailable when the engine cannot be asked."""
        store = self.daemon.store
        if self.daemon.resting and store is not None and (self._then == self.daemon.changes or not store.exists()):
            return self._known
        # A change while it is asked is one that was not seen.
        then = self.daemon.changes
        self._known = await ask()
        self._then = then
        return self._known

    def forget(self) -> None:
        """Asks anew the next time."""
        self._then = -1

"""Hands live facts to everyone who watches. A watcher that cannot keep up loses the oldest, never slows the rest."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from libs.kernel.context import Actor
from services.gateway.app.ports import Event

# Events a slow watcher may be behind.
BACKLOG: Final = 1000
# Deployments whose project is remembered, to place facts that name only their deployment.
REMEMBERED: Final = 10_000


class Watch:
    """One watcher's queue."""

    def __init__(self, wanted: Callable[[Event], bool], backlog: int) -> None:
        self._wanted = wanted
        self._backlog = backlog
        self._events: list[Event] = []
        self._ready = asyncio.Event()
        self._closed = False
        # Events that were dropped because the watcher was slow.
        self.lost = 0

    def offer(self, event: Event) -> None:
        """Queues an event when it is wanted."""
        if not self._wanted(event):
            return
        if len(self._events) >= self._backlog:
            self._events.pop(0)
            self.lost += 1
        self._events.append(event)
        self._ready.set()

    def close(self) -> None:
        """Ends the watch; what is queued is still given out."""
        self._closed = True
        self._ready.set()

    @property
    def closed(self) -> bool:
        """Whether the feed has ended and nothing is left."""
        return self._closed and not self._events

    async def wait(self, seconds: float) -> None:
        """Returns when something happened, or after `seconds`, whichever is first. Takes nothing out."""
        if self._closed or self._events:
            return
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError:
            return

    def take(self) -> list[Event]:
        """Everything queued now."""
        events, self._events = self._events, []
        if not self._closed:
            self._ready.clear()
        return events


@dataclass(frozen=True, slots=True)
class _Place:
    project_id: str
    environment_id: str


class Feed:
    """The fan-out: one listener on the bus fills it, any number of watchers drain it."""

    def __init__(self) -> None:
        self._watches: set[Watch] = set()
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._closed = False

    def publish(self, event: Event) -> None:
        """Gives an event to every watcher that wants it."""
        placed = self._placed(event)
        for watch in self._watches:
            watch.offer(placed)

    @contextmanager
    def watch(self, wanted: Callable[[Event], bool], *, backlog: int = BACKLOG) -> Iterator[Watch]:
        """Watches events from now on."""
        watch = Watch(wanted, backlog)
        if self._closed:
            watch.close()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.discard(watch)

    def close(self) -> None:
        """Ends every watch, so that streams finish before the server stops."""
        self._closed = True
        for watch in self._watches:
            watch.close()

    def _placed(self, event: Event) -> Event:
        """Adds the project and environment that an earlier fact of the same deployment named."""
        if event.project_id:
            if event.correlation_id:
                self._places[event.correlation_id] = _Place(event.project_id, event.environment_id)
                self._places.move_to_end(event.correlation_id)
                while len(self._places) > REMEMBERED:
                    self._places.popitem(last=False)
            return event
        place = self._places.get(event.correlation_id)
        if place is None:
            return event
        return replace(
            event,
            data={**event.data, "project_id": place.project_id, "environment_id": place.environment_id},
        )


def visible(actor: Actor, *, workspace_id: str = "", project_id: str = "") -> Callable[[Event], bool]:
    """Which events this caller may see, narrowed to one workspace or project when asked.

    An event whose project is unknown is hidden from everyone who is bound to, or asks for, one project.
    """

    def wanted(event: Event) -> bool:
        if actor.kind != "service" and event.workspace_id not in actor.roles:
            return False
        if actor.project_id and event.project_id != actor.project_id:
            return False
        if actor.environment_id and event.environment_id not in ("", actor.environment_id):
            return False
        if workspace_id and event.workspace_id != workspace_id:
            return False
        return not project_id or event.project_id == project_id

    return wanted


def about(correlation_id: str) -> Callable[[Event], bool]:
    """Events of one deployment."""
    return lambda event: event.correlation_id == correlation_id


async def until_closed(watch: Watch, *, idle: float) -> AsyncIterator[list[Event]]:
    """Batches of events until the feed ends; an empty batch after `idle` quiet seconds."""
    while not watch.closed:
        await watch.wait(idle)
        yield watch.take()

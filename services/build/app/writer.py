"""Writes a running build's log: numbered without gaps, masked, in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final

from libs.kernel.clock import Clock
from services.build.app.ports import Lease, Log
from services.build.app.wakes import Wakes
from services.build.domain.log import Lines, Masker
from services.build.domain.model import LogLine

# Seconds between two batches.
PERIOD: Final = 0.1
# Lines not yet written at which programs have to wait.
MOST_WAITING: Final = 1_000
# Lines of programs that one build may keep.
MOST_LINES: Final = 50_000
RECENT: Final = 80


class Writer:
    """One attempt's output."""

    def __init__(self, log: Log, lease: Lease, wakes: Wakes, clock: Clock, *, after: int) -> None:
        self._log = log
        self._lease = lease
        self._wakes = wakes
        self._clock = clock
        self._number = after
        self._kept = 0
        self._secrets: Collection[str] = ()
        self._waiting: list[LogLine] = []
        self._open: dict[tuple[str, str], Lines] = {}
        self._recent: dict[str, deque[str]] = {}
        self._writing = asyncio.Lock()

    def hide(self, secrets: Collection[str]) -> None:
        """From now on these values are masked."""
        self._secrets = secrets

    async def say(self, step: str, text: str) -> None:
        """One line of the platform's own; the text may repeat the user's, so it is masked too."""
        masker = Masker(self._secrets)
        for line in (masker.feed(text) + masker.rest()).splitlines() or [""]:
            self._add(step, "platform", line)
        await self._make_room()

    async def chunk(self, step: str, stream: str, data: bytes) -> None:
        """Output of a program; returns when there is room for more."""
        lines = self._open.get((step, stream))
        if lines is None:
            lines = self._open[step, stream] = Lines(self._secrets)
        self._program(step, stream, lines.feed(data))
        await self._make_room()

    async def flush(self, step: str) -> None:
        """Ends the lines that the step's programs left open."""
        for key in [key for key in self._open if key[0] == step]:
            self._program(*key, self._open.pop(key).end())
        await self._make_room()

    def recent(self, step: str) -> list[str]:
        """The step's last lines."""
        return list(self._recent.get(step, ()))

    async def write(self) -> bool:
        """Writes what waits; False when the lease is lost. What it raises leaves the lines waiting."""
        async with self._writing:
            batch = list(self._waiting)
            if not batch:
                return True
            kept = await self._log.append(self._lease, batch)
            del self._waiting[: len(batch)]
        self._wakes.wake(self._lease.build_id)
        return kept

    def _program(self, step: str, stream: str, lines: list[str]) -> None:
        for line in lines:
            self._recent.setdefault(step, deque(maxlen=RECENT)).append(line)
            self._kept += 1
            if self._kept <= MOST_LINES:
                self._add(step, stream, line)
            elif self._kept == MOST_LINES + 1:
                self._add(step, "platform", f"This build printed {MOST_LINES:,} lines; the rest is not kept.")

    def _add(self, step: str, stream: str, text: str) -> None:
        self._number += 1
        self._waiting.append(LogLine(self._number, self._clock.now(), step, stream, text.replace("\0", "\ufffd")))

    async def _make_room(self) -> None:
        if len(self._waiting) >= MOST_WAITING:
            await self.write()

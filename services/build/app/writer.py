"""Writes a running build's log: numbered without gaps, masked, in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.units import MIB
from services.build.app.ports import Lease, Log
from services.build.app.wakes import Wakes
from services.build.domain.log import Lines, Masker, Needles
from services.build.domain.model import LogLine

# Seconds between two batches.
PERIOD: Final = 0.1
# Lines not yet written at which programs have to wait.
MOST_WAITING: Final = 1_000
# Lines of programs that one build may keep, and their bytes.
MOST_LINES: Final = 50_000
MOST_BYTES: Final = 32 * MIB
# Lines of a step that are looked through for why it failed; npm says why, and then prints 110 lines of usage.
RECENT: Final = 200
# Bytes that are cut into lines before others have their turn.
_SLICE: Final = 8 * 1024
# What is remembered of output that is not kept: its end, to say why a command failed.
_TAIL: Final = 16 * 1024
# Seconds that a full read of such output rests, so that an endless printer takes a small part of a core.
_REST: Final = 0.005
_MUCH: Final = 32 * 1024


class Writer:
    """One attempt's output."""

    def __init__(self, log: Log, lease: Lease, wakes: Wakes, clock: Clock, *, after: int) -> None:
        self._log = log
        self._lease = lease
        self._wakes = wakes
        self._clock = clock
        self._number = after
        self._kept = 0
        self._bytes = 0
        self._full = False
        self._tails: dict[tuple[str, str], bytes] = {}
        self._cut: set[tuple[str, str]] = set()
        self._secrets = Needles(())
        self._waiting: list[LogLine] = []
        self._open: dict[tuple[str, str], Lines] = {}
        self._recent: dict[str, deque[str]] = {}
        self._writing = asyncio.Lock()

    def hide(self, secrets: Collection[str]) -> None:
        """From now on these values are masked."""
        self._secrets = Needles(secrets)

    async def say(self, step: str, text: str) -> None:
        """One line of the platform's own; the text may repeat the user's, so it is masked too."""
        masker = Masker(self._secrets)
        for line in (masker.feed(text) + masker.rest()).splitlines() or [""]:
            self._add(step, "platform", line)
        await self._make_room()

    async def chunk(self, step: str, stream: str, data: bytes) -> None:
        """Output of a program; returns when there is room for more."""
        for start in range(0, len(data), _SLICE):
            if self._full:
                await self._drop(step, stream, data[start:])
                return
            lines = self._open.get((step, stream))
            if lines is None:
                lines = self._open[step, stream] = Lines(self._secrets)
            self._program(step, stream, lines.feed(data[start : start + _SLICE]))
            await self._make_room()
            await asyncio.sleep(0)

    async def flush(self, step: str) -> None:
        """Ends the lines that the step's programs left open."""
        for key in [key for key in self._tails if key[0] == step]:
            tail, cut = self._tails.pop(key), key in self._open or key in self._cut
            if cut:
                # The first line lost its beginning, and with it what would be masked.
                tail = tail.partition(b"\n")[2]
            self._open.pop(key, None)
            self._cut.discard(key)
            lines = Lines(self._secrets)
            self._program(*key, lines.feed(tail) + lines.end())
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
            self._bytes += len(line.encode())
            if self._kept <= MOST_LINES and self._bytes <= MOST_BYTES:
                self._add(step, stream, line)
            elif not self._full:
                self._full = True
                most = f"{MOST_LINES:,} lines or {MOST_BYTES // MIB} MiB"
                self._add(step, "platform", f"This build printed more than {most}; the rest is not kept.")

    async def _drop(self, step: str, stream: str, data: bytes) -> None:
        """Remembers the end of it, and rests."""
        tail = self._tails.get((step, stream), b"") + data
        self._tails[step, stream] = tail[-_TAIL:]
        if len(tail) > _TAIL:
            self._cut.add((step, stream))
        if len(data) >= _MUCH:
            await self._clock.sleep(_REST)

    def _add(self, step: str, stream: str, text: str) -> None:
        self._number += 1
        self._waiting.append(LogLine(self._number, self._clock.now(), step, stream, text.replace("\0", "\ufffd")))

    async def _make_room(self) -> None:
        if len(self._waiting) >= MOST_WAITING:
            await self.write()

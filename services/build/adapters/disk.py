"""Watches how much disk a build fills, and stops it when that is too much."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from libs.kernel.clock import Clock
from libs.kernel.units import show_bytes
from libs.plans.faults import BuildFault

# Seconds between two looks at what the disk has left, which costs nothing.
LOOK: Final = 0.25
# Seconds between two measurements while the disk hardly changes, and how many times its own length it rests after one.
PERIOD: Final = 10.0
REST: Final = 10.0
# What a name costs at least: a disk can run out of those too.
ENTRY: Final = 4096
# Bytes with which a disk is full: programs that write more at a time have failed.
NOTHING: Final = 1024 * 1024
# Seconds by which the time of a file may be behind: the kernel's is as coarse as its ticks.
TICK: Final = 0.01
_BLOCK: Final = 512


class Fillable(Protocol):
    """What is watched."""

    @property
    def own(self) -> Path:
        """A folder on the disk in question, named for the build."""
        ...

    def before(self) -> int:
        """Bytes that were there and do not count; asked once, after the build began. Blocks."""
        ...

    def used(self) -> int:
        """Bytes that are there now. Blocks."""
        ...


@dataclass(frozen=True, slots=True)
class Filled:
    """Where a command writes: the build's own folder, and caches, of which only what is added counts."""

    own: Path
    caches: tuple[Path, ...] = ()
    # Whose programs they are; None: they share ours, and files that they keep open cannot be told apart.
    uid: int | None = None

    def before(self) -> int:
        """What the caches have."""
        return _sizes(self.caches)

    def used(self) -> int:
        """What the folder and the caches have, and files without a name that the programs keep open."""
        return _sizes((self.own, *self.caches)) + _unlinked(self)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written in folders since a moment, as in a store that others have things in too; `own` is the store.

    The kernel sets the time that counts here: no program can set it back.
    """

    own: Path
    # Which folders these are may change while the build goes on.
    folders: Callable[[], Iterable[Path]]
    since: float
    # Programs of the build: what they keep open without a name counts as well.
    pids: Callable[[], Iterable[int]] = tuple

    def before(self) -> int:
        """Nothing: what is older is never counted."""
        return 0

    def used(self) -> int:
        """What was written; of a file that was changed, all of it."""
        return _sizes(self.folders(), self.since) + _nameless(self.pids())


def _left(place: Path) -> int:
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


@dataclass(frozen=True, slots=True)
class DiskWatch:
    """Lets a build fill at most `most` bytes, and stops it when the disk has less than `floor` left."""

    most: int
    floor: int
    clock: Clock
    left: Callable[[Path], int] = field(default=_left)

    @asynccontextmanager
    async def __call__(self, filled: Fillable) -> AsyncIterator[None]:
        """Watches while the body runs, and measures once more at its end. BuildFault when it was too much."""
        begin = self.left(filled.own)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(filled), name=f"disk:{filled.own.name}")
                yield
                watching.cancel()
        except BaseExceptionGroup as failed:
            faults = [one for one in failed.exceptions if isinstance(one, BuildFault)]
            raise (faults or failed.exceptions)[0] from None
        # A command that met the end of the disk may have ended before anybody looked, without a word about it.
        self._enough(filled)
        # What a short command left is measured when it may have been much.
        if begin - self.left(filled.own) > self.most // 4:
            await self._measure(filled, await asyncio.to_thread(filled.before))

    async def _watch(self, filled: Fillable) -> None:
        # Caches are measured when there is a reason to: they may be large, and most builds are short.
        before, used = -1, 0
        measured, left_then, rest = self.clock.monotonic(), self.left(filled.own), 0.0
        while True:
            await self.clock.sleep(LOOK)
            left, since = self._enough(filled), self.clock.monotonic() - measured
            grown = left_then - left > max(ENTRY, (self.most - used) // 4)
            if since >= rest and (grown or since >= PERIOD):
                begun = self.clock.monotonic()
                if before < 0:
                    before = await asyncio.to_thread(filled.before)
                used = await self._measure(filled, before)
                measured, left_then = self.clock.monotonic(), left
                rest = (measured - begun) * REST

    def _enough(self, filled: Fillable) -> int:
        """Bytes that the disk has left. BuildFault when they are too few."""
        left = self.left(filled.own)
        if left < max(self.floor, NOTHING):
            raise BuildFault(
                f"The machine's disk is nearly full ({_amount(left)} free), so the build was stopped.",
                hint="Free some disk, or ask the platform's operator to; then deploy again.",
            )
        return left

    async def _measure(self, filled: Fillable, before: int) -> int:
        used = await asyncio.to_thread(filled.used) - before
        if used > self.most:
            limit = _amount(self.most)
            raise BuildFault(
                f"The build used more than {limit} of disk (limit {limit}), so it was stopped.",
                hint="Remove what it downloads or writes without need, or raise LIGHTRAIL_BUILD_DISK_BYTES.",
            )
        return used


def _sizes(folders: Iterable[Path], since: float = 0.0) -> int:
    """What the folders take of the disk, or of it what changed since then.

    A file with several names counts once; links are not followed, nor is what is mounted somewhere in there.
    """
    total, seen = 0, set[tuple[int, int]]()
    for folder in folders:
        with suppress(OSError):  # it was never there
            device = os.lstat(folder).st_dev
            for place, below, names in os.walk(folder):
                elsewhere = set()
                for name in (*below, *names):
                    path = os.path.join(place, name)  # noqa: PTH118 - a Path each would double the time
                    with suppress(OSError):  # it is gone, or nobody may look
                        found = os.lstat(path)
                        if found.st_dev != device:
                            elsewhere.add(name)
                        elif found.st_ctime >= since:
                            total += _size(found, seen)
                if elsewhere:
                    below[:] = [name for name in below if name not in elsewhere]
    return total


def _size(found: os.stat_result, seen: set[tuple[int, int]]) -> int:
    if found.st_nlink > 1 and stat.S_ISREG(found.st_mode):
        if (found.st_dev, found.st_ino) in seen:
            return ENTRY
        seen.add((found.st_dev, found.st_ino))
    return max(ENTRY, found.st_blocks * _BLOCK)


def _unlinked(filled: Filled) -> int:
    """Files without a name that the owner's programs keep open: no folder shows them."""
    if filled.uid is None:
        return 0
    return _nameless(processes_of(filled.uid), filled.own.stat().st_dev)


def _nameless(processes: Iterable[int | str], device: int | None = None) -> int:
    """Files without a name that processes keep open, on one device or on any: overlays have devices of their own."""
    total, seen = 0, set[tuple[int, int]]()
    for process in processes:
        with suppress(OSError):  # it has ended
            for entry in os.scandir(f"/proc/{process}/fd"):
                with suppress(OSError):  # closed meanwhile
                    found = entry.stat()
                    key = (found.st_dev, found.st_ino)
                    if stat.S_ISREG(found.st_mode) and not found.st_nlink and device in {None, found.st_dev}:
                        # Shared memory is no disk; its names begin so.
                        memory = os.readlink(entry.path).startswith(("/memfd:", "/dev/shm/"))  # noqa: S108, PTH115 - read, not written; a Path each would double the time
                        total += 0 if memory or key in seen else found.st_blocks * _BLOCK
                        seen.add(key)
    return total


def processes_of(uid: int) -> list[str]:
    """Ids of all processes that run as this user."""
    found = []
    for entry in os.scandir("/proc"):
        with suppress(OSError):
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                found.append(entry.name)
    return found


def _amount(size: int) -> str:
    return show_bytes(size).replace(".0 ", " ")

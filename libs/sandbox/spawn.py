"""Starts a program with exactly the open files it is meant to have, and waits for it without threads."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import Final

from libs.sandbox.bwrap import CLEAN_ENV

_HIGH: Final = 64  # above every number that a launch uses, so that moving one never overwrites another
# struct flock of a 64-bit Linux: type, whence, start, length, pid.
_FLOCK: Final = "hhqqi4x"


class Child:
    """A child of ours, held by a descriptor, so that its number cannot come to mean another process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle = os.pidfd_open(pid)
        # Its exit code once it was seen to end; minus the signal when one killed it.
        self.code: int | None = None

    async def ended(self) -> int:
        """Waits for its end and returns the exit code."""
        if self.code is None:
            await readable(self._handle)
        return self._reap()

    def poll(self) -> int | None:
        """The exit code when it has ended, else None; frees what the kernel keeps for it."""
        if self.code is None and select.select([self._handle], [], [], 0)[0]:
            self._reap()
        return self.code

    def kill_group(self) -> None:
        """Kills it and what shares its session still; harmless when it has ended."""
        # Until it is reaped, nobody else gets its number; it leads its session and group.
        if self.code is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def _reap(self) -> int:
        if self.code is None:
            _, status = os.waitpid(self.pid, 0)
            os.close(self._handle)
            self.code = os.waitstatus_to_exitcode(status)
        return self.code


async def readable(handle: int) -> None:
    """Returns when reading `handle` would not wait."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def ready() -> None:
        if not future.done():
            future.set_result(None)

    loop.add_reader(handle, ready)
    try:
        await future
    finally:
        loop.remove_reader(handle)


def spawn(argv: Sequence[str], files: Mapping[int, int]) -> Child:
    """Starts `argv` in a session of its own; `files` maps its file numbers to ours. It inherits nothing else."""
    with ExitStack() as stack:
        actions: list[tuple[int, int, int] | tuple[int, int]] = []
        for number, ours in files.items():
            moved = fcntl.fcntl(ours, fcntl.F_DUPFD_CLOEXEC, _HIGH)
            stack.callback(os.close, moved)
            actions.append((os.POSIX_SPAWN_DUP2, moved, number))
        actions += [(os.POSIX_SPAWN_CLOSE, leak) for leak in _inheritable() if leak not in files]
        every = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        pid = os.posix_spawn(
            argv[0], list(argv), dict(CLEAN_ENV), file_actions=actions, setsid=True, setsigmask=(), setsigdef=every
        )
    return Child(pid)


def text_file(content: bytes) -> int:
    """An open file in memory with this content, read from its start; the caller closes it."""
    handle = os.memfd_create("lightrail", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(handle), "wb") as file:
        file.write(content)
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


def try_lock(handle: int) -> bool:
    """Takes the lock of an open file for all who share the opening, children too; False when another has it."""
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_locked(handle: int) -> bool:
    """Whether someone holds the lock, without touching it."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    answer = struct.unpack(_FLOCK, fcntl.fcntl(handle, fcntl.F_OFD_GETLK, asked))
    return bool(answer[0] != fcntl.F_UNLCK)


def _inheritable() -> list[int]:
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        number = int(name)
        if number <= 2:  # noqa: PLR2004 - the standard three
            continue
        try:
            if not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC:
                found.append(number)
        except OSError:
            continue  # the listing's own handle, closed by now
    return found

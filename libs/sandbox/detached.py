"""Knows a detached program by the files it keeps: who it is, whether it lives, how it ended."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from libs.kernel.errors import Unavailable
from libs.sandbox import procfs, spawn
from libs.sandbox.spec import Process

START_SECONDS: Final = 10.0
_POLL: Final = 0.005
_SAID: Final = 400  # bytes


@dataclass(frozen=True, slots=True)
class Facts:
    """What bubblewrap wrote so far: the first process's host pid and pid namespace, the main program's exit code."""

    pid: int | None = None
    namespace: int | None = None
    code: int | None = None


def parse(text: bytes) -> Facts:
    """Reads a status file; a line cut short by a crash counts as not written."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        with suppress(msgspec.DecodeError):
            found |= msgspec.json.decode(line, type=dict[str, int])
    return Facts(found.get("child-pid"), found.get("pid-namespace"), found.get("exit-code"))


def read(status: Path) -> Facts:
    """Reads the status file; nothing when there is none yet."""
    try:
        return parse(status.read_bytes())
    except FileNotFoundError:
        return Facts()


def lock_of(status: Path) -> Path:
    """The file that is locked while anything runs."""
    return status.with_name(status.name + ".lock")


def locked(status: Path) -> bool:
    """Whether anything that was started with this status file still runs."""
    try:
        handle = os.open(lock_of(status), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return spawn.is_locked(handle)
    finally:
        os.close(handle)


def process(status: Path, key: str) -> Process | None:
    """The process of a status file, alive or ended (then without start time); None while none was ever written."""
    facts = read(status)
    if facts.pid is None:
        return None
    ours = procfs.pid_namespace(facts.pid) == facts.namespace
    return Process(facts.pid, (procfs.start_ticks(facts.pid) or 0) if ours else 0, key=key, status=status)


def is_ours(process: Process) -> bool:
    """Whether the pid still means this process: numbers are used again, pid namespaces and start times tell."""
    facts = read(process.status)
    return (
        facts.pid is not None
        and facts.pid == process.pid
        and procfs.pid_namespace(facts.pid) == facts.namespace
        and locked(process.status)
    )


def kill(process: Process) -> None:
    """Kills the first process, and so all others of its pid namespace; nobody else's."""
    try:
        handle = os.pidfd_open(process.pid) if process.pid else -1
    except ProcessLookupError:
        return
    if handle < 0:
        return
    try:
        if is_ours(process):
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def said(output: Path, after: int) -> str:
    """The last words printed after byte `after`, for an error message."""
    with output.open("rb") as file:
        file.seek(max(after, output.stat().st_size - _SAID))
        return file.read(_SAID).decode(errors="replace").strip()


async def wait_named(status: Path, key: str) -> Process | None:
    """Waits until bubblewrap has written who runs; None when nothing runs any more and nobody was named."""
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                held = locked(status)
                named = process(status, key)
                if named or not held:
                    return named
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Unavailable("A sandbox that is being started does not get ready.") from None


def open_lock(status: Path) -> int:
    """Opens the file that is locked while anything runs; the caller closes it."""
    return os.open(lock_of(status), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)


def forget(status: Path) -> None:
    """Makes a failed start as if it had not been, unless someone has started again by now."""
    lock = open_lock(status)
    try:
        if spawn.try_lock(lock):
            os.truncate(status, 0)
    finally:
        os.close(lock)


async def wait_end(process: Process) -> None:
    """Returns when nothing of it runs any more, without asking again and again; put a timeout around it."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(process.pid)
        try:
            if is_ours(process):
                await spawn.readable(handle)
        finally:
            os.close(handle)
    await wait_free(process.status)


async def wait_free(status: Path) -> None:
    """Returns when nothing runs any more; put a timeout around it."""
    while locked(status):  # noqa: ASYNC110 - a file lock tells nobody when it is let go
        await asyncio.sleep(_POLL)

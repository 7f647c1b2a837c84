"""Processes of this machine, told apart by pid and kernel start time, so that a reused pid is never touched."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

Stop = Sequence[tuple[signal.Signals, float]]
KILL_SECONDS = 10.0
_TICKS = os.sysconf("SC_CLK_TCK")
_GONE = {"Z", "X"}


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its pid, and when the kernel started it, in clock ticks since the machine did."""

    pid: int
    start: int

    @property
    def uptime(self) -> float:
        """Seconds it has been running."""
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - self.start / _TICKS)

    def attach(self) -> int | None:
        """Opens a pidfd on it; None when it has ended, or its pid is another process's by now."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return None
        # Looked at after opening: what the pidfd holds cannot change any more.
        if find(self.pid) == self:
            return descriptor
        os.close(descriptor)
        return None

    @property
    def alive(self) -> bool:
        """Whether it is still running."""
        return find(self.pid) == self


def find(pid: int) -> Process | None:
    """Returns the process that has this pid now; None when there is none, or only its remains."""
    fields = _stat(pid)
    return Process(pid, int(fields[19])) if fields and fields[0] not in _GONE else None


def find_running(argument: str, program: str | None = None) -> list[Process]:
    """Returns the processes that were given exactly this argument, of programs of this file name only when given."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            # It has ended meanwhile.
            continue
        is_meant = argument in argv[1:] and program in (None, Path(argv[0]).name)
        process = find(int(entry.name)) if is_meant else None
        if process:
            found.append(process)
    return found


def boot() -> str:
    """Returns an id that changes whenever the machine starts: start times count from there."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def has_ended(descriptor: int, seconds: float = 0.0) -> bool:
    """Whether the process of a pidfd has ended, waiting up to `seconds` for it."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000)))


def end(processes: Sequence[tuple[int, Stop]]) -> None:
    """Ends the processes of these pidfds together: each by its signals with their seconds in turn, at last by SIGKILL.

    Signals go to the one process, never to its group: applications are children of services and live on. Blocking.
    """
    turns = [iter([*stop, (signal.SIGKILL, KILL_SECONDS)]) for _, stop in processes]
    deadlines = [0.0] * len(processes)
    left = set(range(len(processes)))
    poll = select.poll()
    index = {descriptor: number for number, (descriptor, _) in enumerate(processes)}
    for descriptor in index:
        poll.register(descriptor, select.POLLIN)
    while left:
        now = time.monotonic()
        for number in [number for number in left if deadlines[number] <= now]:
            turn = next(turns[number], None)
            if turn is None or not _signalled(processes[number][0], turn[0]):
                left.discard(number)
                continue
            deadlines[number] = now + turn[1]
        if not left:
            return
        wait = max(0.0, min(deadlines[number] for number in left) - now)
        for descriptor, _ in poll.poll(int(wait * 1000) + 1):
            left.discard(index[descriptor])
            poll.unregister(descriptor)


def memory(process: Process, *, tree: bool) -> int:
    """Returns the bytes it takes of the machine: private ones and its share of shared ones (PSS).

    `tree`: with its descendants, as for a server that forks. Where the kernel does not tell (another user's
    process), resident bytes.
    """
    pids = [process.pid, *(_descendants(process.pid) if tree else ())]
    return sum(_memory(pid) for pid in pids)


def _signalled(descriptor: int, number: signal.Signals) -> bool:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    return True


def _memory(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        fields = _stat(pid)
        return int(fields[21]) * os.sysconf("SC_PAGE_SIZE") if fields else 0
    return 0


def _descendants(pid: int) -> Iterable[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the program's name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None

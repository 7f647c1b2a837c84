"""The machine's processes, as the kernel lists them: who runs an application, and since when."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")


def environment(pid: int) -> dict[str, str]:
    """Gives the environment a process was started with; empty when it is gone or not ours to read."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition("=") for item in raw.decode(errors="replace").split("\0") if "=" in item)
    return {name: value for name, _, value in pairs}


def started(pid: int) -> int:
    """Gives the start time in clock ticks since boot: with the pid it names one process for ever."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return int(fields[19])


def running() -> list[int]:
    """Lists every process that is not a zombie."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if state != "Z":
                found.append(int(entry.name))
    return found


def of_application(service_id: str, deployment_id: str = "") -> set[tuple[int, int]]:
    """Gives (pid, start time) of every process of an application's service, of one deployment when it is given."""
    found = set()
    for pid in running():
        variables = environment(pid)
        if variables.get("LIGHTRAIL_SERVICE_ID") != service_id:
            continue
        if deployment_id and variables.get("LIGHTRAIL_DEPLOYMENT_ID") != deployment_id:
            continue
        try:
            found.add((pid, started(pid)))
        except OSError:
            continue
    return found


def below(home: Path) -> set[int]:
    """Gives every process that names a folder in its command line: what a platform with that home left behind."""
    found = set()
    for pid in running():
        try:
            command = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if str(home) in command:
            found.add(pid)
    return found


def started_with(*arguments: str) -> set[int]:
    """Gives every process that was started with all of these arguments."""
    found = set()
    for pid in running():
        try:
            command = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if set(arguments) <= set(command.split("\0")):
            found.add(pid)
    return found


def kill(pid: int) -> None:
    """Ends a process at once, as a power cut would."""
    os.kill(pid, signal.SIGKILL)


def pause(pid: int) -> None:
    """Stops a process where it is: it is there, and answers nobody."""
    os.kill(pid, signal.SIGSTOP)


def resume(pid: int) -> None:
    """Lets a paused process go on; one that was ended meanwhile stays ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def kill_if_alive(pid: int) -> None:
    """Ends a process at once; one that ended by itself meanwhile is as good."""
    with suppress(ProcessLookupError):
        kill(pid)


def cpu_seconds(pids: Iterable[int]) -> float:
    """Gives the CPU time of processes and of all their children that have ended, in seconds."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def proportional_memory(pid: int) -> int:
    """Gives a process's share of memory (PSS) in bytes; 0 when it has just ended."""
    with suppress(OSError):
        for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def peak_memory(pid: int) -> int:
    """Gives the most bytes of memory that a process has ever held."""
    status = (PROC / str(pid) / "status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) * 1024


def descendants(pid: int) -> set[int]:
    """Gives a process and everything it started that still lives."""
    parents = {}
    for other in running():
        try:
            parents[other] = int((PROC / str(other) / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in family} - family
        if not more:
            return family
        family |= more

"""Reads what the kernel tells about processes in /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from libs.sandbox.spec import Usage

_TICK: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc")
# Fields of /proc/<pid>/stat, counted after the command's closing parenthesis.
_PARENT: Final = 1
_TIMES: Final = slice(11, 15)
_START: Final = 19
_RSS: Final = 21


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks after boot; None when there is no such process."""
    fields = _stat(pid)
    return int(fields[_START]) if fields else None


def pid_namespace(pid: int) -> int | None:
    """The number of the pid namespace that the process is in; None when it is gone or not ours to look at."""
    try:
        link = str((_PROC / str(pid) / "ns" / "pid").readlink())
    except OSError:
        return None
    return int(link.removeprefix("pid:[").removesuffix("]"))


def inner_pid(pid: int) -> int | None:
    """The process's number inside its innermost pid namespace."""
    try:
        lines = (_PROC / str(pid) / "status").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[-1]) for line in lines if line.startswith("NSpid:")), None)


def tree(root: int) -> list[int]:
    """The process and all its descendants now, parents first."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir(_PROC):  # noqa: PTH208 - names only: a Path for each would cost more than the listing
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry))
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found


def usage(pids: list[int]) -> Usage:
    """CPU time of these and of their children that ended, and the memory they share fairly (PSS) or hold (RSS)."""
    ticks = memory = 0
    for pid in pids:
        fields = _stat(pid)
        if fields is None:
            continue
        ticks += sum(int(field) for field in fields[_TIMES])
        share = _pss(pid)
        memory += int(fields[_RSS]) * _PAGE if share is None else share
    return Usage(cpu_microseconds=ticks * _TICK, memory_bytes=memory)


def _pss(pid: int) -> int | None:
    try:
        lines = (_PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :].split()

"""Files the platform keeps: private ones, ends of logs; and the orderly end of a process."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Sequence
from pathlib import Path

_KILL_SECONDS = 10.0


def make_room(path: Path, *, mode: int | None = None) -> None:
    """Makes a directory (and those above it) and gives it this mode, whatever the umask; None: leaves its mode."""
    path.mkdir(parents=True, exist_ok=True)
    if mode is not None:
        path.chmod(mode)


def write_private(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Writes a whole file or nothing, readable by its owner only, on disk before this returns."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def tail(path: Path, lines: int = 20) -> str:
    """Returns the last lines of a log; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 65536))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def end(process: int, stop: Sequence[tuple[signal.Signals, float]]) -> None:
    """Ends the process of a pidfd by each signal with its seconds in turn, at last by SIGKILL. Blocking."""
    for number, seconds in (*stop, (signal.SIGKILL, _KILL_SECONDS)):
        try:
            signal.pidfd_send_signal(process, number)
        except ProcessLookupError:
            return
        if has_ended(process, seconds):
            return


def has_ended(process: int, seconds: float = 0.0) -> bool:
    """Whether the process of a pidfd has ended, waiting up to `seconds` for it."""
    poll = select.poll()
    poll.register(process, select.POLLIN)
    return bool(poll.poll(int(seconds * 1000)))

"""Files the platform keeps: rooms, private files, and logs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LOG_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3


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


def rotate(path: Path, *, most: int = LOG_BYTES, keep: int = LOGS_KEPT) -> bool:
    """Makes a log of more than `most` bytes `path`.1, the former .1 .2 and so on; tells whether it did.

    The log is copied and emptied, not renamed: its writer, another program, holds it open for appending.
    """
    try:
        if path.stat().st_size <= most:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True

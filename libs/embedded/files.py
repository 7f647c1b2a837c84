"""Files the platform keeps: rooms, private files, and logs."""

from __future__ import annotations

import errno
import os
from pathlib import Path

LOG_BYTES = 10 * 1024 * 1024
LOGS_KEPT = 3
_PIECE = 1024 * 1024
# From linux/falloc.h: takes bytes out of a file; leaves a hole instead, and the file's length (KEEP_SIZE).
_COLLAPSE = 0x08
_PUNCH_HOLE = 0x02 | 0x01


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
            # A rotated log may begin with a hole, which reads as zeros.
            return "\n".join(file.read().lstrip(b"\0").decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def rotate(path: Path, *, most: int = LOG_BYTES, keep: int = LOGS_KEPT) -> bool:
    """Makes a log of more than `most` bytes `path`.1, the former .1 .2 and so on; tells whether it did.

    Its writer, another program, holds it open for appending and goes on meanwhile: what is copied is cut off the
    front, in whole blocks, so that no byte is lost. What remains continues `path`.1 where that ends.
    """
    try:
        log = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        first, end = _first_byte(log), _last_block(log)
        if os.fstat(log).st_size - first <= most or end <= first:
            return False
        fresh = path.with_name(f"{path.name}.new")
        try:
            _copy(log, first, end, fresh)
        except OSError:
            # Older logs stay what they are: a full disk would replace one after another by nothing.
            fresh.unlink(missing_ok=True)
            raise
        for number in range(keep - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        fresh.replace(path.with_name(f"{path.name}.1"))
        _cut(log, end)
    finally:
        os.close(log)
    return True


def _first_byte(log: int) -> int:
    """Where the log begins: behind the hole that a rotation left, on file systems that cannot take the front away."""
    try:
        return os.lseek(log, 0, os.SEEK_DATA)
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.EINVAL}:  # nothing but a hole; the file system knows of no holes
            return 0
        raise


def _last_block(log: int) -> int:
    """Returns the most bytes that can be cut off: whole blocks, and not the last byte."""
    block = os.fstatvfs(log).f_bsize
    return max(0, os.fstat(log).st_size - 1) // block * block


def _copy(log: int, first: int, end: int, to: Path) -> None:
    with to.open("wb") as copy:
        while first < end:
            piece = os.pread(log, min(_PIECE, end - first), first)
            copy.write(piece)
            first += len(piece)


def _cut(log: int, end: int) -> None:
    """Frees the log's bytes before `end`, and no other: while this lasts the kernel keeps its writers waiting.

    Where the file system can do neither, the log is emptied, with what was printed since it was copied.
    """
    for mode in (_COLLAPSE, _PUNCH_HOLE):
        code = _fallocate(log, mode, end)
        if code == 0:
            return
        if code not in {errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}:
            raise OSError(code, os.strerror(code))
    os.ftruncate(log, 0)


def _fallocate(file: int, mode: int, length: int) -> int:
    """Returns 0 when the first `length` bytes are freed, else the error's number."""
    import ctypes  # noqa: PLC0415 - the supervisor, which is small, seldom needs it

    call = ctypes.CDLL(None, use_errno=True).fallocate
    done = call(file, mode, ctypes.c_longlong(0), ctypes.c_longlong(length))
    return 0 if done == 0 else ctypes.get_errno()

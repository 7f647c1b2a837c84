"""Gives every owner a uid of its own, for ever: two owners never share one."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from libs.kernel.errors import Unavailable

# First uid and how many. The first range is used by nobody (systemd gives containers 524288…1879048191 and below
# 2147352576 nothing more); the others are for machines that see only a part of all uids, as inside containers.
_RANGES: Final = ((2_000_000_000, 100_000_000), (200_000, 300_000), (20_000, 40_000))


class Owners:
    """The register of owners, a file shared by every process of one platform."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known: dict[str, int] = {}

    def uid(self, owner: str) -> int:
        """The owner's uid (and gid); registered at first sight. Unavailable when the range is full."""
        if owner not in self._known:
            with self._locked():
                known = self._read()
                if owner not in known:
                    known[owner] = _free(owner, str(self._path), set(known.values()))
                    self._write(known)
                self._known = known
        return self._known[owner]

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, int]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, int])
        except FileNotFoundError:
            return {}

    def _write(self, known: dict[str, int]) -> None:
        temporary = self._path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(msgspec.json.encode(known))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)


def _free(owner: str, platform: str, taken: set[int]) -> int:
    first, count = span()
    # The platform's own path is in the hash, so that two platforms on one machine hardly ever meet.
    start = int.from_bytes(hashlib.sha256(f"{platform}\0{owner}".encode()).digest()[:8], "big") % count
    for step in range(count):
        uid = first + (start + step) % count
        if uid not in taken:
            return uid
    raise Unavailable("Every uid that apps may have is taken.", hint="Remove services that are no longer used.")


def span() -> tuple[int, int]:
    """The first uid that owners may have here, and how many there are. Unavailable when there are too few."""
    lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    mapped = [(int(inside), int(size)) for inside, _, size in (line.split() for line in lines)]
    for first, count in _RANGES:
        if any(inside <= first and first + count <= inside + size for inside, size in mapped):
            return first, count
    raise Unavailable("This machine gives its root too few user ids to keep apps apart (40,000 are needed).")


def give(path: Path, uid: int) -> None:
    """Makes everything at `path` belong to `uid`; links are not followed, so nothing outside changes hands."""
    os.chown(path, uid, uid, follow_symlinks=False)
    if path.is_symlink() or not path.is_dir():
        return
    for _, directories, files, handle in os.fwalk(path, follow_symlinks=False):
        for name in (*directories, *files):
            os.chown(name, uid, uid, dir_fd=handle, follow_symlinks=False)

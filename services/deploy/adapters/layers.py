"""Unpacks layers: shared ones once per machine, writable ones into each instance."""

from __future__ import annotations

import asyncio
import ctypes
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from libs.blobs.archive import ArchiveLimits, unpack
from libs.blobs.port import Blobs, hex_of
from libs.kernel.errors import Invalid
from libs.kernel.units import GIB
from libs.telemetry import get_logger

# The build has its own, tighter caps; these only keep a damaged blob from filling the disk. A build may well leave a
# file of zeros, and zstd packs 128 KiB of them into four bytes.
_LIMITS: Final = ArchiveLimits(max_bytes=32 * GIB, max_files=2_000_000, max_ratio=40_000)
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_READY: Final = ".ready"
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class _Ready(msgspec.Struct, frozen=True):
    """Beside an unpacked layer: in which boot it was written, and whether it is known to be on the disk."""

    boot: str
    durable: bool = False


class Layers:
    """Unpacked layers at `root/<hex digits>`, each verified by its digest; whole or not there."""

    def __init__(self, root: Path, blobs: Blobs) -> None:
        self._root = root
        self._blobs = blobs
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._boot = _BOOT.read_text(encoding="ascii").strip()
        self._log = get_logger("deploy/layers")
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in root.glob(".new-*"):
            erase(left)

    async def shared(self, digest: str) -> Path:
        """The unpacked layer, for all to read and nobody to write.

        NotFound when the blob is gone, Invalid when it is damaged, Exhausted when the disk is full.
        """
        place = self._root / hex_of(digest)
        async with self._locks.setdefault(digest, asyncio.Lock()):
            if await asyncio.to_thread(self._is_whole, place):
                _beside(place).touch()  # used now: `collect` counts from here
            else:
                blob = await self._blobs.path(digest)
                await asyncio.to_thread(self._make, blob, place, digest)
                asyncio.get_running_loop().run_in_executor(None, self._settle, place)
        return place

    async def copy(self, digest: str, target: Path, then: Callable[[Path], None]) -> None:
        """Unpacks a layer into `target` for one instance alone, `then` readies it; `target` is whole or not there."""
        if await asyncio.to_thread(target.is_dir):
            return
        blob = await self._blobs.path(digest)

        def make() -> None:
            fresh = target.with_name(f"{target.name}.new")
            erase(fresh)
            unpack(blob, fresh, limits=_LIMITS, foreign_links=True, digest=digest)
            then(fresh)
            fresh.rename(target)

        await asyncio.to_thread(make)

    def collect(self, used: Collection[str], unused_since: datetime) -> None:
        """Removes shared layers that no instance has and that nobody asked for since then; they can be made again."""
        kept = {hex_of(digest) for digest in used}
        for ready in self._root.glob(f"*{_READY}"):
            place = ready.with_suffix("")
            if place.name not in kept and ready.stat().st_mtime < unused_since.timestamp():
                ready.unlink()
                erase(place)

    def _is_whole(self, place: Path) -> bool:
        """After a power cut a layer that was not yet on the disk may be torn: it is made again."""
        try:
            ready = msgspec.json.decode(_beside(place).read_bytes(), type=_Ready)
        except (FileNotFoundError, msgspec.DecodeError):
            return False
        return place.is_dir() and (ready.durable or ready.boot == self._boot)

    def _make(self, blob: Path, place: Path, digest: str) -> None:
        fresh = self._root / f".new-{secrets.token_hex(8)}"
        try:
            unpack(blob, fresh, limits=_LIMITS, foreign_links=True, digest=digest)
            erase(place)
            fresh.rename(place)
        finally:
            erase(fresh)
        _beside(place).write_bytes(msgspec.json.encode(_Ready(self._boot)))

    def _settle(self, place: Path) -> None:
        """Brings a new layer to the disk without anyone waiting for it, then says so beside it."""
        try:
            handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
            try:
                if _LIBC.syncfs(handle) != 0:
                    raise OSError(ctypes.get_errno(), "syncfs")
            finally:
                os.close(handle)
            _beside(place).write_bytes(msgspec.json.encode(_Ready(self._boot, durable=True)))
        except OSError as error:
            self._log.warning("layer.not_settled", layer=place.name, error=str(error))


def make_mountpoint(root: Path, below: str, uid: int | None) -> None:
    """Makes `root/below` a real directory to mount on, for `uid`; a file or link in its place gives way.

    Steps through real directories only: the tree below `root` is an application's, and may hold links to anywhere.
    """
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for part in Path(below).parts:
            deeper = _step(here, part, uid)
            os.close(here)
            here = deeper
    finally:
        os.close(here)


def has_directory(root: Path, below: str) -> bool:
    """Whether `root/below` is a real directory, without a link on the way."""
    here = root
    for part in Path(below).parts:
        here /= part
        if not here.is_dir() or here.is_symlink():
            return False
    return True


def _step(here: int, part: str, uid: int | None) -> int:
    if part == "..":
        raise Invalid("A layer's mount cannot hold “..”.", field="layers")
    try:
        is_directory = stat.S_ISDIR(os.stat(part, dir_fd=here, follow_symlinks=False).st_mode)
        if not is_directory:
            os.unlink(part, dir_fd=here)
    except FileNotFoundError:
        is_directory = False
    if not is_directory:
        os.mkdir(part, 0o755, dir_fd=here)
        if uid is not None:
            os.chown(part, uid, uid, dir_fd=here, follow_symlinks=False)
    return os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=here)


def erase(path: Path) -> None:
    """Removes a tree, also one that its owner closed; harmless when there is none."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    if not path.exists():
        return
    try:
        shutil.rmtree(path)
    except PermissionError:
        _open_up(path)
        shutil.rmtree(path)


def _open_up(folder: Path) -> None:
    folder.chmod(0o700)
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            _open_up(Path(entry.path))


def _beside(place: Path) -> Path:
    return place.with_name(place.name + _READY)

"""Keeps blobs in a local directory that several processes may share."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Final

from libs.blobs.port import Blob, hex_of
from libs.kernel.errors import Exhausted, NotFound

_CHUNK: Final = 1024 * 1024
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class DirectoryBlobs:
    """Blobs as files, `root/sha256/<2 digits>/<64 digits>`, written whole or not at all, also over a power cut.

    A half-written file carries a lock while its writer lives; those of writers that died are removed at construction.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._temporary = root / "incoming"
        self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        (root / "sha256").mkdir(mode=0o700, exist_ok=True)
        for left in self._temporary.iterdir():
            _remove_if_abandoned(left)

    async def put_bytes(self, content: bytes) -> Blob:
        """Stores these bytes; Exhausted when the disk is full."""
        async with self.writer() as writer:
            await writer.write(content)
        return _written(writer)

    async def put_file(self, path: Path, *, move: bool = False) -> Blob:
        """Stores a file's bytes; with `move` the file itself is taken away, without copying when it can be."""
        if move:
            return await asyncio.to_thread(self._move, path)
        writer = await asyncio.to_thread(DirectoryWriter, self._temporary)
        try:
            await asyncio.to_thread(writer.copy, path)
            return await asyncio.to_thread(writer.keep, self._place)
        finally:
            await asyncio.to_thread(writer.close)

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[DirectoryWriter]:
        """Stores what is written inside the context; nothing is kept when the context ends in an error."""
        writer = await asyncio.to_thread(DirectoryWriter, self._temporary)
        try:
            yield writer
            await asyncio.to_thread(writer.keep, self._place)
        finally:
            writer.close()

    async def path(self, digest: str) -> Path:
        """The blob's own file, to be read only; NotFound when there is no such blob."""
        place = self._place(digest)
        if not await asyncio.to_thread(place.is_file):
            raise NotFound(f"Blob {digest} is not stored here.")
        return place

    async def open_read(self, digest: str) -> AsyncIterator[bytes]:
        """The blob's bytes in pieces of up to 1 MiB; NotFound when there is no such blob."""
        place = await self.path(digest)
        with await asyncio.to_thread(place.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK):
                yield chunk

    async def exists(self, digest: str) -> bool:
        """Whether the blob is stored."""
        return await asyncio.to_thread(self._place(digest).is_file)

    async def delete(self, digest: str) -> None:
        """Removes the blob; harmless when there is none."""
        await asyncio.to_thread(self._place(digest).unlink, missing_ok=True)

    async def list(self) -> Sequence[Blob]:
        """All blobs, in order of their digests."""
        return await asyncio.to_thread(self._list)

    def _list(self) -> Sequence[Blob]:
        found = []
        for file in (self._root / "sha256").glob("*/*"):
            with suppress(FileNotFoundError):
                found.append(Blob(f"sha256:{file.name}", file.stat().st_size))
        return sorted(found, key=lambda blob: blob.digest)

    def _place(self, digest: str) -> Path:
        digits = hex_of(digest)
        return self._root / "sha256" / digits[:2] / digits

    def _move(self, path: Path) -> Blob:
        running = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                running.update(chunk)
            blob = Blob(f"sha256:{running.hexdigest()}", file.tell())
            os.fchmod(file.fileno(), 0o400)
            os.fsync(file.fileno())
        place = self._place(blob.digest)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            path.rename(place)
        except OSError:
            writer = DirectoryWriter(self._temporary)
            try:
                writer.copy(path)
                blob = writer.keep(self._place)
            finally:
                writer.close()
            path.unlink()
        _sync_directory(place.parent)
        return blob


class DirectoryWriter:
    """Writes one blob to a locked temporary file, hashing on the way."""

    def __init__(self, folder: Path) -> None:
        self.blob: Blob | None = None
        self.size = 0
        self._running = hashlib.sha256()
        self._path, self._file = _locked_new(folder)

    async def write(self, chunk: bytes) -> None:
        """Adds to the blob; Exhausted when the disk is full."""
        await asyncio.to_thread(self._add, chunk)

    def copy(self, path: Path) -> None:
        """Adds a file's bytes."""
        with path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                self._add(chunk)

    def keep(self, place_of: Callable[[str], Path]) -> Blob:
        """Makes what was written a blob, durably."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _told(error) from error
        blob = Blob(f"sha256:{self._running.hexdigest()}", self.size)
        place = place_of(blob.digest)
        place.parent.mkdir(mode=0o700, exist_ok=True)
        self._path.chmod(0o400)
        self._path.rename(place)
        _sync_directory(place.parent)
        self.blob = blob
        return blob

    def _add(self, chunk: bytes) -> None:
        self._running.update(chunk)
        self.size += len(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _told(error) from error

    def close(self) -> None:
        """Removes the temporary file when it did not become a blob."""
        self._file.close()
        if self.blob is None:
            self._path.unlink(missing_ok=True)


def _told(error: OSError) -> Exception:
    if error.errno in _NO_SPACE:
        return Exhausted("The disk that holds the blobs is full.", hint="Free space, then try again.")
    return error


def _written(writer: DirectoryWriter) -> Blob:
    if writer.blob is None:
        raise AssertionError("a writer's context ended well without a blob")
    return writer.blob


def _locked_new(folder: Path) -> tuple[Path, IO[bytes]]:
    while True:
        path = folder / secrets.token_hex(16)
        file = path.open("xb")
        path.chmod(0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        # Another process that just started may have taken it for abandoned before the lock was there.
        if path.exists():
            return path, file
        file.close()


def _remove_if_abandoned(path: Path) -> None:
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        path.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""The blob store with a sweep that never takes a blob which is being stored."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from libs.blobs.port import Blob, Blobs, Writer, hex_of
from libs.kernel.clock import Clock
from libs.kernel.errors import Invalid, NotFound, Unavailable
from services.build.app.ports import Freed

# Blobs looked at while writers wait.
_BATCH: Final = 50
_LOOK_SECONDS: Final = 0.02
# How long a sweep waits for writers before it leaves the rest to the next.
_PATIENCE_SECONDS: Final = 60.0


class SweptBlobs:
    """A store whose writers and sweep take turns, also over processes.

    Storing bytes that are there already makes their blob young again. So a blob is only removed when it is old, looked
    at and removed while nobody stores anything: the lock file is held shared by writers and alone by the sweep.
    """

    def __init__(self, blobs: Blobs, lock: Path, clock: Clock) -> None:
        self._blobs = blobs
        self._lock = lock
        self._clock = clock
        lock.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def put_bytes(self, content: bytes) -> Blob:
        """Stores these bytes."""
        async with self._locked(fcntl.LOCK_SH):
            return await self._blobs.put_bytes(content)

    async def put_file(self, path: Path, *, move: bool = False) -> Blob:
        """Stores a file's bytes; with `move` the file itself may be taken away."""
        async with self._locked(fcntl.LOCK_SH):
            return await self._blobs.put_file(path, move=move)

    @asynccontextmanager
    async def writer(self) -> AsyncIterator[Writer]:
        """Stores what is written inside the context; nothing is kept when the context ends in an error."""
        async with self._locked(fcntl.LOCK_SH), self._blobs.writer() as writer:
            yield writer

    async def path(self, digest: str) -> Path:
        """A file with the blob's bytes, to be read only; NotFound when there is no such blob."""
        return await self._blobs.path(digest)

    def open_read(self, digest: str) -> AsyncIterator[bytes]:
        """The blob's bytes in pieces; NotFound when there is no such blob."""
        return self._blobs.open_read(digest)

    async def exists(self, digest: str) -> bool:
        """Whether the blob is stored."""
        return await self._blobs.exists(digest)

    async def delete(self, digest: str) -> None:
        """Removes the blob; harmless when there is none."""
        await self._blobs.delete(digest)

    async def list(self) -> Sequence[Blob]:
        """All blobs, in order of their digests."""
        return await self._blobs.list()

    async def sweep(self, keep: Collection[str], since: datetime, before: datetime, *, dry_run: bool = False) -> Freed:
        """Removes blobs stored between the two that are not to be kept. A file that is no blob is left alone."""
        wanted = frozenset(keep)
        old = [blob for blob in await self._blobs.list() if blob.digest not in wanted and _named(blob.digest)]
        freed = Freed()
        for start in range(0, len(old), _BATCH):
            batch = [blob for blob in old[start : start + _BATCH] if await self._stored(blob, since, before)]
            if dry_run:
                freed += Freed(len(batch), sum(blob.size for blob in batch))
            if dry_run or not batch:
                continue
            async with self._locked(fcntl.LOCK_EX, patience=_PATIENCE_SECONDS):
                for blob in batch:
                    if await self._stored(blob, since, before):
                        await self._blobs.delete(blob.digest)
                        freed += Freed(1, blob.size)
        return freed

    async def _stored(self, blob: Blob, since: datetime, before: datetime) -> bool:
        try:
            found = await asyncio.to_thread((await self._blobs.path(blob.digest)).lstat)
        except (NotFound, FileNotFoundError):
            return False
        return since.timestamp() <= found.st_mtime < before.timestamp()

    @asynccontextmanager
    async def _locked(self, kind: int, *, patience: float = float("inf")) -> AsyncIterator[None]:
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            begun = self._clock.monotonic()
            while not _taken(handle, kind):
                if self._clock.monotonic() - begun > patience:
                    raise Unavailable("Something is being stored all the time, so no blob can be removed now.")
                await self._clock.sleep(_LOOK_SECONDS)
            yield
        finally:
            os.close(handle)


def _taken(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _named(digest: str) -> bool:
    """Whether it is a blob's name, and not of a file that someone else put there."""
    try:
        hex_of(digest)
    except Invalid:
        return False
    return True

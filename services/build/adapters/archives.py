"""The way in for source archives: limited while it streams, checked before it counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import NamedTemporaryFile

from libs.blobs.archive import ArchiveLimits, inspect
from libs.blobs.port import Blobs
from libs.kernel.errors import Exhausted, Invalid
from libs.kernel.units import show_bytes

# An archive may hold this many times its own limit; sources pack well, but not better than this on the whole.
UNPACKED = 4


class CheckedArchives:
    """Takes archives of at most `limit` bytes through a folder of its own into the blob store."""

    def __init__(self, blobs: Blobs, folder: Path, limit: int) -> None:
        self._blobs = blobs
        self._folder = folder
        self._limit = limit
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def receive(self, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Stores an archive; gives digest and size in bytes. What is refused leaves nothing behind."""
        with NamedTemporaryFile(dir=self._folder) as file:
            size = 0
            async for chunk in chunks:
                size += len(chunk)
                if size > self._limit:
                    raise Exhausted(
                        f"The upload is larger than {show_bytes(self._limit)}, the limit of this platform.",
                        field="archive",
                        hint="Name what is no source in .lightrailignore, or raise LIGHTRAIL_SNAPSHOT_LIMIT.",
                    )
                await asyncio.to_thread(file.write, chunk)
            file.flush()
            return await self._check(Path(file.name), size)

    async def keep(self, path: Path) -> tuple[str, int]:
        """Stores an archive that the platform packed, after the same checks; gives digest and size in bytes."""
        size = (await asyncio.to_thread(path.stat)).st_size
        if size > self._limit:
            raise Exhausted(
                f"The source is {show_bytes(size)} large when packed; this platform takes {show_bytes(self._limit)}.",
                hint="Leave data and media out of the repository, or raise LIGHTRAIL_SNAPSHOT_LIMIT.",
            )
        return await self._check(path, size)

    async def _check(self, path: Path, size: int) -> tuple[str, int]:
        if size:
            held = await asyncio.to_thread(inspect, path, archive_limits(self._limit))
        if not size or held.bytes == 0:
            raise Invalid(
                "The upload is empty: it holds no file with anything in it.",
                field="archive",
                hint="Run the command in the directory of your app, and check what its ignore files leave out.",
            )
        blob = await self._blobs.put_file(path)
        return blob.digest, blob.size


def archive_limits(limit: int) -> ArchiveLimits:
    """What a source archive of at most `limit` bytes may hold."""
    return ArchiveLimits(max_bytes=UNPACKED * limit)

"""The tools' download caches, `root/<workspace>/<tool>`; and uploads that were cut off with their process."""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import stat
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from libs.kernel.clock import Clock
from services.build.adapters.workdir import remove
from services.build.app.ports import Cache, Freed

# Tools that keep order among several of their own at one cache: they say so, and lock or rename what they write.
# Every other tool has its cache for itself while a step runs.
SHARED: Final = frozenset({"uv", "npm", "pnpm", "go", "cargo", "nuget"})
_LEAVING: Final = ".leaving-"
# Seconds between two looks whether a cache is free.
_LOOK: Final = 0.1


class ToolCaches:
    """Caches below `root`; a builder touches a cache's folder when it uses it. `incoming` holds uploads on their way.

    Programs of users wrote in the caches: no link is followed, and what is measured is only counted. Who uses a cache
    holds the lock of the file beside it, shared or alone; who removes it, alone. The lock ends with its process.
    """

    def __init__(self, root: Path, incoming: Path, clock: Clock) -> None:
        self._root = root
        self._incoming = incoming
        self._clock = clock

    def folder(self, workspace_id: str, tool: str) -> Path:
        """The folder of a cache, whether or not it is there."""
        return self._root / workspace_id / tool

    @asynccontextmanager
    async def held(
        self, workspace_id: str, tools: Iterable[str], waiting: Callable[[str], AbstractAsyncContextManager[None]]
    ) -> AsyncIterator[None]:
        """Keeps the caches from being removed, and those of tools that need it from other builds.

        While another build has a tool's, it is waited for inside of `waiting`.
        """
        async with AsyncExitStack() as stack:
            # In one order everywhere, so that two builds never wait for each other.
            for tool in sorted(set(tools)):
                kind = fcntl.LOCK_SH if tool in SHARED else fcntl.LOCK_EX
                handle = self._opened(workspace_id, tool)
                stack.callback(os.close, handle)
                if not _taken(handle, kind):
                    async with waiting(tool):
                        while not _taken(handle, kind):
                            await self._clock.sleep(_LOOK)
            yield

    async def of_workspace(self, workspace_id: str) -> list[Cache]:
        """Those of one workspace, the one used last first."""
        found = await asyncio.to_thread(self._measured, self._root / workspace_id)
        return sorted(found, key=lambda cache: cache.used_at, reverse=True)

    async def measure(self) -> list[Cache]:
        """All of them."""
        return await asyncio.to_thread(self._measure)

    async def remove(self, cache: Cache) -> bool:
        """Removes one at once for those who come; False when a build is using it. Harmless when it is gone."""
        return await asyncio.to_thread(self._remove, cache)

    async def drop_cut_off(self, before: datetime, *, dry_run: bool = False) -> Freed:
        """Removes what uploads left that nobody has written to since then."""
        return await asyncio.to_thread(self._drop_cut_off, before, dry_run=dry_run)

    def _measure(self) -> list[Cache]:
        found = []
        for workspace in _folders(self._root):
            if workspace.name.startswith(_LEAVING):
                remove(workspace)
                continue
            found += self._measured(workspace)
        return found

    def _measured(self, workspace: Path) -> list[Cache]:
        found = []
        for tool in _folders(workspace):
            used_at = datetime.fromtimestamp(tool.lstat().st_mtime, UTC)
            found.append(Cache(workspace.name, tool.name, _size(tool), used_at))
        return found

    def _remove(self, cache: Cache) -> bool:
        leaving = self._root / f"{_LEAVING}{secrets.token_hex(8)}"
        try:
            handle = self._opened(cache.workspace_id, cache.name)
        except FileNotFoundError:
            return True
        try:
            if not _taken(handle, fcntl.LOCK_EX):
                return False
            (self._root / cache.workspace_id / cache.name).rename(leaving)
        except FileNotFoundError:
            return True
        finally:
            os.close(handle)
        remove(leaving)
        return True

    def _opened(self, workspace_id: str, tool: str) -> int:
        folder = self._root / workspace_id
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        return os.open(folder / f"{tool}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _drop_cut_off(self, before: datetime, *, dry_run: bool) -> Freed:
        freed = Freed()
        for path in self._incoming.iterdir() if self._incoming.is_dir() else ():
            try:
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_mtime < before.timestamp():
                    if not dry_run:
                        path.unlink()
                    freed += Freed(1, found.st_size)
            except FileNotFoundError:
                continue
        return freed


def _taken(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))


def _size(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - a Path each would double the time
            except FileNotFoundError:
                continue
    return total

"""The tools' download caches, `root/<workspace>/<tool>`; and uploads that were cut off with their process."""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.build.adapters.workdir import remove
from services.build.app.ports import Cache, Freed

_LEAVING: Final = ".leaving-"


class ToolCaches:
    """Caches below `root`; a builder touches a cache's folder when it uses it. `incoming` holds uploads on their way.

    Programs of users wrote in the caches: no link is followed, and what is measured is only counted.
    """

    def __init__(self, root: Path, incoming: Path) -> None:
        self._root = root
        self._incoming = incoming

    async def measure(self) -> list[Cache]:
        """All of them."""
        return await asyncio.to_thread(self._measure)

    async def remove(self, cache: Cache) -> None:
        """Removes one at once for those who come; harmless when it is gone."""
        await asyncio.to_thread(self._remove, cache)

    async def drop_cut_off(self, before: datetime) -> Freed:
        """Removes what uploads left that nobody has written to since then."""
        return await asyncio.to_thread(self._drop_cut_off, before)

    def _measure(self) -> list[Cache]:
        found = []
        for workspace in _folders(self._root):
            if workspace.name.startswith(_LEAVING):
                remove(workspace)
                continue
            for tool in _folders(workspace):
                used_at = datetime.fromtimestamp(tool.lstat().st_mtime, UTC)
                found.append(Cache(workspace.name, tool.name, _size(tool), used_at))
        return found

    def _remove(self, cache: Cache) -> None:
        leaving = self._root / f"{_LEAVING}{secrets.token_hex(8)}"
        try:
            (self._root / cache.workspace_id / cache.name).rename(leaving)
        except FileNotFoundError:
            return
        remove(leaving)

    def _drop_cut_off(self, before: datetime) -> Freed:
        freed = Freed()
        for path in self._incoming.iterdir() if self._incoming.is_dir() else ():
            try:
                found = path.lstat()
                if stat.S_ISREG(found.st_mode) and found.st_mtime < before.timestamp():
                    path.unlink()
                    freed += Freed(1, found.st_size)
            except FileNotFoundError:
                continue
        return freed


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

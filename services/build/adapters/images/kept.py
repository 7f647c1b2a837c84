"""What buildah keeps for the next build: layers that no named image needs, and the folders of cache mounts."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from libs.kernel.clock import Clock
from services.build.adapters.workdir import remove
from services.build.app.ports import Cache

# Where buildah puts folders of cache mounts below its TMPDIR.
MOUNTS: Final = "buildah-cache"
_LAYER, _MOUNT, _LEAVING = "layer ", "mount ", ".leaving-"
_MOUNT_IDS: Final = re.compile(r"--mount=\S*?\bid=([\w.-]+)")
# Seconds between two looks whether the store is free.
_LOOK: Final = 0.05


@dataclass(frozen=True, slots=True)
class Shelf:
    """The store below `home`. Who builds holds its lock shared, who removes alone; it ends with its process."""

    home: Path
    clock: Clock

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Keeps everything in the store from being removed."""
        handle = self._opened()
        try:
            while not _taken(handle, fcntl.LOCK_SH):
                await self.clock.sleep(_LOOK)
            yield
        finally:
            os.close(handle)

    @contextmanager
    def alone(self) -> Iterator[bool]:
        """Keeps everybody else out while the block runs; gives False when somebody builds."""
        handle = self._opened()
        try:
            yield _taken(handle, fcntl.LOCK_EX)
        finally:
            os.close(handle)

    def note(self, images: Collection[str], dockerfile: str) -> None:
        """Remembers that a build has just used these images, and the cache mounts of its Dockerfile. Blocks."""
        now = self.clock.now().timestamp()
        marks = self.home / "used"
        marks.mkdir(mode=0o700, exist_ok=True)
        for image in images:
            (marks / image).touch()
            os.utime(marks / image, (now, now))
        for folder in self.mounts_of(dockerfile):
            if folder.is_dir() and not folder.is_symlink():
                os.utime(folder, (now, now))

    def mounts_of(self, dockerfile: str) -> list[Path]:
        """The folders of a Dockerfile's cache mounts, whether or not they are there yet."""
        return [self.home / "tmp" / MOUNTS / ident for ident in _MOUNT_IDS.findall(dockerfile)]

    def measure(self) -> list[Cache]:
        """Everything that may go, each with the bytes that are free once it and all older ones have gone. Blocks."""
        images, layers = _read(self.home, "images"), _read(self.home, "layers")
        names = {str(one["id"]) for one in images}
        used = {}
        for mark in _entries(self.home / "used"):
            if mark.name in names:
                used[mark.name] = datetime.fromtimestamp(mark.stat().st_mtime, UTC)
            else:
                # Its image is gone.
                Path(mark).unlink(missing_ok=True)
        return [*spare(images, layers, used), *self._mounts()]

    def images_of(self, cache: Cache) -> list[str]:
        """The images without a name that stand on a layer, the newest first; they go before the layer does. Blocks."""
        layer = cache.name.removeprefix(_LAYER)
        found = [one for one in _read(self.home, "images") if one.get("layer") == layer and not one.get("names")]
        return [str(one["id"]) for one in sorted(found, key=lambda one: _moment(one["created"]), reverse=True)]

    def has_layer(self, cache: Cache) -> bool:
        """Whether a layer is still there. Blocks."""
        return any(one["id"] == cache.name.removeprefix(_LAYER) for one in _read(self.home, "layers"))

    def remove_mount(self, cache: Cache) -> None:
        """Removes the folder of a cache mount; harmless when it is gone. Blocks."""
        folder = self.home / "tmp" / MOUNTS
        leaving = folder / f"{_LEAVING}{secrets.token_hex(8)}"
        try:
            (folder / cache.name.removeprefix(_MOUNT)).rename(leaving)
        except FileNotFoundError:
            return
        remove(leaving)

    def sweep(self) -> None:
        """Removes what killed builds left in the folder for passing files. Only alone. Blocks."""
        for entry in _entries(self.home / "tmp"):
            if entry.name != MOUNTS and entry.is_dir(follow_symlinks=False):
                remove(Path(entry.path))
            elif entry.name != MOUNTS:
                Path(entry.path).unlink(missing_ok=True)

    def _mounts(self) -> list[Cache]:
        found = []
        for entry in _entries(self.home / "tmp" / MOUNTS):
            if entry.name.startswith(_LEAVING):
                remove(Path(entry.path))
            elif entry.is_dir(follow_symlinks=False):
                used_at = datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_mtime, UTC)
                found.append(Cache("", f"{_MOUNT}{entry.name}", _size(entry.path), used_at))
        return found

    def _opened(self) -> int:
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(self.home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def is_layer(cache: Cache) -> bool:
    """Whether it is a layer, and not the folder of a cache mount."""
    return cache.name.startswith(_LAYER)


def spare(
    images: Iterable[Mapping[str, Any]], layers: Iterable[Mapping[str, Any]], used: Mapping[str, datetime]
) -> list[Cache]:
    """Layers at the ends of chains that no named image stands on, as the store lists them, least recently used first.

    With the last image on such a layer, buildah removes what else of its chain nobody has: the size is what is free
    once this one and all older ones have gone.
    """
    parents = {str(one["id"]): str(one.get("parent", "")) for one in layers}
    sizes = {str(one["id"]): max(0, int(one.get("diff-size", 0))) for one in layers}
    needed: set[str] = set()
    ends: dict[str, datetime] = {}
    for image in images:
        layer = str(image.get("layer", ""))
        if image.get("names"):
            needed.update(_chain(layer, parents))
        elif layer in parents:
            moment = max(_moment(image["created"]), used.get(str(image["id"]), datetime.min.replace(tzinfo=UTC)))
            ends[layer] = max(moment, ends.get(layer, moment))
    above = {parent for layer in ends for parent in _chain(parents[layer], parents)}
    tops = sorted((moment, layer) for layer, moment in ends.items() if layer not in needed | above)
    # How many of the ends that are left stand on each layer.
    standing: dict[str, int] = {}
    for _, layer in tops:
        for one in _chain(layer, parents):
            standing[one] = standing.get(one, 0) + 1
    found = []
    for moment, layer in tops:
        size = 0
        for one in _chain(layer, parents):
            standing[one] -= 1
            if standing[one] == 0 and one not in needed:
                size += sizes[one]
        found.append(Cache("", f"{_LAYER}{layer}", size, moment))
    return found


def _chain(layer: str, parents: Mapping[str, str]) -> list[str]:
    """A layer and all those below it."""
    found = []
    while layer in parents and layer not in found:
        found.append(layer)
        layer = parents[layer]
    return found


def _read(home: Path, what: str) -> list[dict[str, Any]]:
    """A list of the store's, under whichever of its drivers; nothing when there is no store yet."""
    found: list[dict[str, Any]] = []
    for file in (home / "root").glob(f"*-{what}/{what}.json"):
        found += json.loads(file.read_bytes() or b"[]") or []
    return found


def _moment(text: str) -> datetime:
    """A time of the store's: nanoseconds, in UTC or beside it."""
    plain = re.sub(r"\.(\d{1,6})\d*", lambda match: f".{match[1]:0<6}", text.replace("Z", "+00:00"))
    return datetime.fromisoformat(plain).astimezone(UTC)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def _size(folder: str) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - a Path each would double the time
            except FileNotFoundError:
                continue
    return total


def _taken(handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

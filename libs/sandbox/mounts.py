"""Mounts that a killed program left below a folder: they are found, and undone, so that the folder can be removed."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_TABLE: Final = Path("/proc/self/mountinfo")
# Out of the tree at once, whoever still has a file of it open.
_DETACH: Final = 2
_ESCAPED: Final = re.compile(rb"\\([0-7]{3})")


def mounts_below(folder: Path, table: Path = _TABLE) -> list[Path]:
    """Places below a folder where something is mounted, those further down first; blocks."""
    root = folder.resolve()
    found = [Path(os.fsdecode(_plain(line.split()[4]))) for line in table.read_bytes().splitlines()]
    # Of two mounts on one place, each is undone on its own.
    return sorted((place for place in found if root in place.parents), key=lambda place: -len(place.parts))


def overlays_of(pids: Iterable[int], folder: Path) -> list[Path]:
    """Folders below `folder` that overlays consist of which these processes see; none of processes that ended. Blocks.

    Layers are often named by links with short names, and from the folder on: what they lead to is given.
    """
    root, found = folder.resolve(), dict[Path, None]()
    for pid in pids:
        with suppress(OSError):  # it has ended
            for line in Path(f"/proc/{pid}/mountinfo").read_bytes().splitlines():
                _, _, tail = line.partition(b" - overlay ")
                for option in tail.rpartition(b" ")[2].split(b","):
                    name, _, value = option.partition(b"=")
                    if name in {b"upperdir", b"lowerdir"}:
                        layers = ((root / os.fsdecode(_plain(one))).resolve() for one in value.split(b":"))
                        found.update((one, None) for one in layers if root in one.parents)
    return list(found)


def unmount_below(folder: Path, *, keep: Collection[Path] = ()) -> list[Path]:
    """Undoes every mount below a folder and gives their places; OSError when this process may not. Blocks.

    `keep` are places that are somebody else's.
    """
    places = [place for place in mounts_below(folder) if place not in keep]
    libc = ctypes.CDLL(None, use_errno=True)
    for place in places:
        if libc.umount2(os.fsencode(place), _DETACH) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(place))
    return places


def _plain(path: bytes) -> bytes:
    """A path of the table as it is: blanks and the like stand there as numbers."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), path)

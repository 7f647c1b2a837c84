"""Mounts that a killed program left below a folder: they are found, and undone, so that the folder can be removed."""

from __future__ import annotations

import ctypes
import os
import re
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


def unmount_below(folder: Path) -> list[Path]:
    """Undoes every mount below a folder and gives their places; OSError when this process may not. Blocks."""
    places = mounts_below(folder)
    libc = ctypes.CDLL(None, use_errno=True)
    for place in places:
        if libc.umount2(os.fsencode(place), _DETACH) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(place))
    return places


def _plain(path: bytes) -> bytes:
    """A path of the table as it is: blanks and the like stand there as numbers."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), path)

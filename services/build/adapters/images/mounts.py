"""Mounts of a user's Dockerfile that buildah does not keep inside of the build."""

from __future__ import annotations

import re
from typing import Final

_MOUNT: Final = re.compile(r"--mount[= \t]*(\S*)", re.IGNORECASE)
_CLOSED: Final = ("type=secret", "type=tmpfs")
# What continues a line, and quotes: they say nothing of their own, but may stand amid a word.
_SILENT: Final = re.compile(r"[\\`'\"]")


def reaching_out(dockerfile: str) -> int:
    """The line of the first instruction with a mount other than secret and tmpfs; 0 when none has.

    buildah before 1.38 follows links and “..” in the sources of the others, out of the build and into the machine.
    Whatever might be such a mount counts, however it is written.
    """
    whole, first = "", 0
    for number, line in enumerate(dockerfile.splitlines(), start=1):
        text = line.strip()
        # Amid an instruction as well, these are as good as not there.
        if not text or text.startswith("#"):
            continue
        first = first or number
        whole += _SILENT.sub("", text)
        if text.endswith(("\\", "`")):
            continue
        if _opens(whole):
            return first
        whole, first = "", 0
    return first if _opens(whole) else 0


def _opens(instruction: str) -> bool:
    return any(not _is_closed(found[1].lower()) for found in _MOUNT.finditer(instruction))


def _is_closed(mount: str) -> bool:
    types = [part for part in mount.split(",") if part.startswith("type=")]
    return len(types) == 1 and types[0] in _CLOSED and "$" not in mount and "--mount" not in mount

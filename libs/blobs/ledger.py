"""Judges the entries of an archive as they come, in memory only: names, links, counts, sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.blobs.tar import Entry
from libs.kernel.errors import Invalid
from libs.kernel.units import GIB, MIB, show_bytes

Place = tuple[bytes, ...]
_LONGEST_PART: Final = 255  # bytes; what Linux file systems take
_LONGEST_PATH: Final = 4000  # bytes; PATH_MAX less the room for where it is unpacked
_DEEPEST: Final = 200
_FOLLOWS: Final = 40  # links the kernel follows before it gives up
# Archives of so little content may shrink by any ratio: a file of zeros, or a log, harms nobody.
RATIO_FREE: Final = 256 * MIB


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """What an archive may hold: bytes of content, entries, and content per compressed byte beyond `RATIO_FREE`."""

    max_bytes: int = 4 * GIB
    max_files: int = 200_000
    max_ratio: int = 200


class Ledger:
    """Remembers what came; `take` returns where an entry goes, or raises Invalid saying what is wrong with it."""

    def __init__(self, limits: ArchiveLimits, *, foreign_links: bool) -> None:
        self._limits = limits
        self._foreign_links = foreign_links
        self._kinds: dict[Place, str] = {(): "directory"}
        self._links: dict[Place, bytes] = {}
        self._headers = 0
        self._newest = ""
        self.files = 0
        self.bytes = 0

    def tick(self) -> None:
        """Counts a header; several may describe one entry."""
        self._headers += 1
        if self._headers > 4 * self._limits.max_files:
            raise Invalid(f"The archive holds more than {self._limits.max_files} entries.", field="archive")

    def check_ratio(self, compressed: int, content: int) -> None:
        """Passes while the content is no more than `max_ratio` times what it was read from, or harmless anyway."""
        if content > max(RATIO_FREE, compressed * self._limits.max_ratio):
            most = f"{show_bytes(RATIO_FREE)} and more than {self._limits.max_ratio} times its size"
            raise Invalid(
                f"The archive unpacks to more than {most}: it was refused at “{self._newest}”.",
                field="archive",
                hint="Name in .lightrailignore what is no source, like images of disks and empty databases.",
            )

    def take(self, entry: Entry) -> Place:
        """Where the entry goes below the root."""
        place = _place(entry.name)
        shown = _shown(entry.name)
        self._newest = shown
        self.files += 1
        self.bytes += entry.size
        if self.files > self._limits.max_files:
            raise Invalid(f"The archive holds more than {self._limits.max_files} entries.", field="archive")
        if self.bytes > self._limits.max_bytes:
            raise Invalid(f"The archive unpacks to more than {show_bytes(self._limits.max_bytes)}.", field="archive")
        self._take_parents(place, shown)
        before = self._kinds.get(place)
        if before is not None and (before == "directory") != (entry.kind == "directory"):
            raise Invalid(f"The archive holds “{shown}” both as a directory and as something else.", field="archive")
        if entry.kind == "hardlink":
            target = _place(entry.link)
            if self._kinds.get(target) != "file" or target == place:
                raise Invalid(f"“{shown}” is a link to a file that is not in the archive before it.", field="archive")
        self._links.pop(place, None)
        if entry.kind == "symlink":
            self._links[place] = entry.link
        self._kinds[place] = "file" if entry.kind == "hardlink" else entry.kind
        return place

    def link_target(self, entry: Entry) -> Place:
        """Where a hard link's file is."""
        return _place(entry.link)

    def finish(self) -> None:
        """Passes when no link, followed through all others, leaves the root."""
        if self._foreign_links:
            return
        for place in self._links:
            if self._leaves(place):
                shown = _shown(b"/".join(place))
                raise Invalid(
                    f"“{shown}” is a link that leaves the archive.",
                    field="archive",
                    hint="Replace the link by what it leads to, or leave it out of what is sent.",
                )

    def _take_parents(self, place: Place, shown: str) -> None:
        for length in range(1, len(place)):
            kind = self._kinds.setdefault(place[:length], "directory")
            if kind != "directory":
                raise Invalid(f"The archive wants to write “{shown}” through something that is no directory.")

    def _leaves(self, place: Place) -> bool:
        here: list[bytes] = list(place[:-1])
        todo = _parts(self._links[place])
        if todo is None:
            return True
        follows = 1
        while todo:
            part = todo.pop(0)
            if part == b"..":
                if not here:
                    return True
                here.pop()
                continue
            here.append(part)
            target = self._links.get(tuple(here))
            if target is None:
                continue
            follows += 1
            more = _parts(target)
            if more is None:
                return True
            if follows > _FOLLOWS:
                return False
            here.pop()
            todo = more + todo
        return False


def _parts(link: bytes) -> list[bytes] | None:
    """The steps of a link's target; None when it starts at the root of the machine."""
    if link.startswith(b"/"):
        return None
    return [part for part in link.split(b"/") if part not in {b"", b"."}]


def _place(name: bytes) -> Place:
    if name.startswith(b"/"):
        raise Invalid(f"The archive holds the absolute path “{_shown(name)}”.", field="archive")
    parts = tuple(part for part in name.split(b"/") if part not in {b"", b"."})
    if b".." in parts:
        raise Invalid(f"The archive holds the path “{_shown(name)}”, which leaves it.", field="archive")
    if len(name) > _LONGEST_PATH or len(parts) > _DEEPEST or any(len(part) > _LONGEST_PART for part in parts):
        raise Invalid(f"The archive holds a path that is too long (“{_shown(name)}”).", field="archive")
    return parts


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace")[:200]

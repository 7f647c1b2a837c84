"""A group in which another program makes groups of its own: a container engine, told to put its commands there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.sandbox.cgroups import Group

_MOUNTS: Final = Path("/proc/self/mounts")


@dataclass(frozen=True, slots=True)
class Nest:
    """What is below `group`; its caps hold for everything in there together."""

    group: Group
    mounts: Path = _MOUNTS

    @property
    def place(self) -> str:
        """Its path below the hierarchies' roots, as runc and engines name it, like /lightrail/name/key."""
        folder = self.group.folders["memory"]
        for root in _hierarchies(self.mounts):
            if folder.is_relative_to(root):
                return f"/{folder.relative_to(root)}"
        raise OSError(errno.ENOENT, "no hierarchy of control groups has this folder", str(folder))

    @contextmanager
    def watched(self) -> Iterator[Callable[[], bool]]:
        """Gives a question: whether the kernel killed something in here for memory since the block began."""
        if self.group.unified:
            # There the count is that of all groups below.
            before = self._kills()
            yield lambda: self._kills() > before
            return
        # Version 1 counts where the victim was, in a group that is gone a moment later; but it tells who listens here.
        memory = self.group.folders["memory"]
        bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            with (memory / "memory.oom_control").open("rb") as control:
                (memory / "cgroup.event_control").write_text(f"{bell} {control.fileno()}", encoding="ascii")
            rung: list[int] = []

            def has_rung() -> bool:
                with suppress(BlockingIOError):
                    rung.append(os.eventfd_read(bell))
                return bool(rung)

            yield has_rung
        finally:
            os.close(bell)

    def open_unified(self) -> Path | None:
        """The file that takes a process into the group of this name in the hierarchy of version 2; None without one.

        The firewall knows programs by it, also where caps are kept by version 1. Blocks.
        """
        for root in _hierarchies(self.mounts, "cgroup2"):
            folder = root / self.place.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            return folder / "cgroup.procs"
        return None

    def members(self) -> set[int]:
        """Process ids in here and below."""
        return self.group.members()

    def kill(self) -> None:
        """Kills everything in here and below now."""
        self.group.kill()

    def remove(self) -> bool:
        """Removes it with all groups below, from every hierarchy; False while something lives in it. Harmless twice.

        An engine makes its groups in all hierarchies, also in those that nothing is capped by.
        """
        gone = True
        place = self.place.lstrip("/")
        for root in _hierarchies(self.mounts):
            for folder, _, _ in os.walk(root / place, topdown=False):
                gone = _removed(Path(folder)) and gone
            # The platform's own folder above it, when an engine made it here.
            with suppress(OSError):
                (root / place).parent.rmdir()
        return gone

    def _kills(self) -> int:
        text = (self.group.folders["memory"] / "memory.events").read_text(encoding="ascii")
        words = text.split()
        return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0


def _hierarchies(mounts: Path, *kinds: str) -> list[Path]:
    lines = (line.split() for line in mounts.read_text(encoding="utf-8").splitlines())
    return [Path(words[1]) for words in lines if words[2] in (kinds or ("cgroup", "cgroup2"))]


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in {errno.EBUSY, errno.ENOTEMPTY}:
            raise
        return False
    return True

"""What the machine has left for builds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.build.app.keeping import DiskUse
from services.build.domain.queue import Free

_UNLIMITED: Final = 2**63


@dataclass(frozen=True, slots=True)
class ThisMachine:
    """Memory of the machine or of the container we are in, whichever has less; disk below `home`."""

    home: Path
    # Bytes that the programs of all builds under way hold.
    used_by_builds: Callable[[], int]
    proc: Path = Path("/proc")
    groups: Path = Path("/sys/fs/cgroup")

    async def free(self) -> Free:
        """What is left now."""
        return await asyncio.to_thread(self._free)

    async def use(self) -> DiskUse:
        """How full the disk below `home` is."""
        found = await asyncio.to_thread(os.statvfs, self.home)
        return DiskUse(found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize)

    def _free(self) -> Free:
        disk = os.statvfs(self.home)
        memory = min(self._available(), *self._left_to_us())
        return Free(memory, disk.f_bavail * disk.f_frsize, self.used_by_builds())

    def _available(self) -> int:
        for line in (self.proc / "meminfo").read_text(encoding="ascii").splitlines():
            name, _, amount = line.partition(":")
            if name == "MemAvailable":
                return int(amount.split()[0]) * 1024
        raise OSError("The kernel does not say how much memory is available.")

    def _left_to_us(self) -> list[int]:
        """What the control groups that this process is in leave it, pages that can be dropped not counted as used."""
        left: list[int] = []
        for line in (self.proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if not controllers:
                root, cap, used, idle = self.groups, "memory.max", "memory.current", "inactive_file"
            elif "memory" in controllers.split(","):
                root, cap, used = self.groups / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
                idle = "total_inactive_file"
            else:
                continue
            own = root / path.lstrip("/")
            above = [folder for folder in (own, *own.parents) if folder.is_relative_to(root)]
            left += [_left(folder, cap, used, idle) for folder in above]
        return left


def _left(folder: Path, cap: str, used: str, idle: str) -> int:
    try:
        most = (folder / cap).read_text(encoding="ascii").strip()
        now = int((folder / used).read_text(encoding="ascii"))
        table = (folder / "memory.stat").read_text(encoding="ascii").split()
    except OSError:
        return _UNLIMITED  # the root, or no such group as seen from here
    if most == "max":
        return _UNLIMITED
    dropped = int(table[table.index(idle) + 1]) if idle in table else 0
    return max(0, int(most) - max(0, now - dropped))

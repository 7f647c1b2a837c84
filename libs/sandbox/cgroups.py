"""Caps and measures a process tree with control groups, version 1 or 2, whichever this process may write."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.sandbox.spec import Limits, Usage

_NEEDED: Final = ("memory", "cpu", "pids")
_TRIES: Final = 5
_PERIOD: Final = 100_000  # microseconds of one CPU period; the kernel's default


@dataclass(frozen=True, slots=True)
class Group:
    """One tree's group: a directory per controller (version 1) or one for all (version 2)."""

    folders: dict[str, Path]
    unified: bool

    @property
    def doors(self) -> list[Path]:
        """Files that take a process in when it writes 0 to them."""
        return [folder / "cgroup.procs" for folder in dict.fromkeys(self.folders.values())]

    def limit(self, limits: Limits) -> None:
        """Sets the caps."""
        memory = self.folders["memory"]
        if limits.memory_bytes is not None:
            if self.unified:
                _set(memory / "memory.max", limits.memory_bytes)
                _set_if_there(memory / "memory.swap.max", 0)
            else:
                # Memory with swap may never be less than memory alone, as it would be while a cap is raised.
                _set_if_there(memory / "memory.memsw.limit_in_bytes", -1)
                _set(memory / "memory.limit_in_bytes", limits.memory_bytes)
                _set_if_there(memory / "memory.memsw.limit_in_bytes", limits.memory_bytes)
        if limits.cpu_millicores is not None:
            quota = max(1000, limits.cpu_millicores * _PERIOD // 1000)
            if self.unified:
                _set(self.folders["cpu"] / "cpu.max", f"{quota} {_PERIOD}")
            else:
                _set(self.folders["cpu"] / "cpu.cfs_period_us", _PERIOD)
                _set(self.folders["cpu"] / "cpu.cfs_quota_us", quota)
        if limits.pids is not None:
            _set(self.folders["pids"] / "pids.max", limits.pids)

    def usage(self) -> Usage:
        """CPU time so far, and memory without pages that could be dropped at once; OSError when the group is gone."""
        memory = self.folders["memory"]
        if self.unified:
            cpu = _table(self.folders["cpu"] / "cpu.stat")["usage_usec"]
            used = int((memory / "memory.current").read_text(encoding="ascii"))
            idle = _table(memory / "memory.stat").get("inactive_file", 0)
        else:
            account = self.folders.get("cpuacct")
            cpu = int((account / "cpuacct.usage").read_text(encoding="ascii")) // 1000 if account else 0
            used = int((memory / "memory.usage_in_bytes").read_text(encoding="ascii"))
            idle = _table(memory / "memory.stat").get("total_inactive_file", 0)
        return Usage(cpu_microseconds=cpu, memory_bytes=max(0, used - idle))

    def oom(self) -> bool:
        """Whether the kernel killed something in here for memory."""
        name = "memory.events" if self.unified else "memory.oom_control"
        try:
            return _table(self.folders["memory"] / name).get("oom_kill", 0) > 0
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENODEV}:
                return False
            raise

    def members(self) -> set[int]:
        """Process ids in here."""
        found: set[int] = set()
        for top in self.folders.values():
            # Groups go while one looks: a walk passes over what is gone.
            for folder, _, _ in os.walk(top):
                try:
                    found.update(int(pid) for pid in Path(folder, "cgroup.procs").read_text(encoding="ascii").split())
                except OSError as error:
                    if error.errno not in {errno.ENOENT, errno.ENODEV}:
                        raise
        return found

    def kill(self) -> None:
        """Kills everything in here now."""
        for pid in self.members():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def remove(self) -> bool:
        """Removes the group; False while something still lives in it. Harmless when it is gone."""
        gone = True
        for folder in dict.fromkeys(self.folders.values()):
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                gone = False
        return gone


@dataclass(frozen=True, slots=True)
class Groups:
    """The parent of all groups of one platform; makes, finds and lists them by key."""

    name: str
    parents: dict[str, Path]
    unified: bool

    def group(self, key: str) -> Group:
        """The group of this key, whether or not it exists."""
        return Group({name: parent / key for name, parent in self.parents.items()}, self.unified)

    def make(self, key: str, limits: Limits) -> Group:
        """Makes the group and sets its caps."""
        group = self.group(key)
        for folder in group.folders.values():
            for _ in range(_TRIES):
                with suppress(FileNotFoundError):
                    folder.mkdir(exist_ok=True)
                    break
                _open(self.name)  # folded up, by us or by another process
            else:
                folder.mkdir(exist_ok=True)
        group.limit(limits)
        return group

    def fold(self) -> None:
        """Removes the parent when no group is left below it; the next `make` brings it back."""
        for parent in dict.fromkeys(self.parents.values()):
            with suppress(OSError):
                parent.rmdir()

    def keys(self) -> set[str]:
        """Keys of all groups there are."""
        found: set[str] = set()
        for parent in self.parents.values():
            with suppress(FileNotFoundError):
                found.update(entry.name for entry in parent.iterdir() if entry.is_dir())
        return found


def open_groups(name: str, mounts: str | None = None, own: str | None = None) -> Groups | None:
    """The platform's parent group at `lightrail/<name>`; None when this process may not make groups here.

    It is there only while a group is. `mounts` and `own` are the texts of /proc/self/mounts and /proc/self/cgroup.
    """
    groups = _open(name, mounts, own)
    if groups:
        groups.fold()
    return groups


def _open(name: str, mounts: str | None = None, own: str | None = None) -> Groups | None:
    mounts = Path("/proc/self/mounts").read_text(encoding="utf-8") if mounts is None else mounts
    own = Path("/proc/self/cgroup").read_text(encoding="utf-8") if own is None else own
    hierarchies: dict[str, Path] = {}
    unified: Path | None = None
    for line in mounts.splitlines():
        _, place, kind, options, *_ = line.split()
        if kind == "cgroup2":
            unified = Path(place)
        elif kind == "cgroup":
            hierarchies.update(dict.fromkeys(options.split(","), Path(place)))
    paths = {name: path for _, name, path in (line.split(":", 2) for line in own.splitlines())}
    if all(controller in hierarchies for controller in _NEEDED):
        return _open_v1(name, hierarchies, paths)
    return _open_v2(name, unified, paths.get("", "/")) if unified else None


def _open_v1(name: str, hierarchies: dict[str, Path], paths: dict[str, str]) -> Groups | None:
    own = {controller: path for names, path in paths.items() for controller in names.split(",")}
    parents: dict[str, Path] = {}
    for controller in (*_NEEDED, "cpuacct"):
        root = hierarchies.get(controller)
        if root is None:
            continue
        made = _first_made([root, _below(root, own.get(controller, "/"))], name)
        if made is None:
            return None
        parents[controller] = made
    return Groups(name, parents, unified=False)


def _open_v2(name: str, root: Path, path: str) -> Groups | None:
    for base in dict.fromkeys([root, _below(root, path).parent, _below(root, path)]):
        if not base.is_relative_to(root):
            continue
        made = _first_made([base], name)
        if made is not None and _enable([base, made.parent, made]):
            return Groups(name, dict.fromkeys(_NEEDED, made), unified=True)
    return None


def _enable(chain: Sequence[Path]) -> bool:
    """Turns the controllers on from the top down; False when they are not to be had."""
    for folder in chain:
        try:
            if not set(_NEEDED) <= set((folder / "cgroup.controllers").read_text(encoding="ascii").split()):
                return False
            on = set((folder / "cgroup.subtree_control").read_text(encoding="ascii").split())
            if not set(_NEEDED) <= on:
                _set(folder / "cgroup.subtree_control", " ".join(f"+{controller}" for controller in _NEEDED))
        except OSError:
            return False
    return True


def _first_made(bases: Sequence[Path], name: str) -> Path | None:
    for base in dict.fromkeys(bases):
        made = base / "lightrail" / name
        try:
            made.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(made, os.W_OK):
            return made
    return None


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _table(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in file.read_text(encoding="ascii").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}  # noqa: PLR2004 - a pair


def _set(file: Path, value: int | str) -> None:
    file.write_text(str(value), encoding="ascii")


def _set_if_there(file: Path, value: int) -> None:
    if file.exists():
        _set(file, value)

"""What to run and what became of it: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from libs.kernel.errors import Invalid

# The kernel's MAX_ARG_STRLEN: one argument or variable, with its final NUL.
_ONE_STRING: Final = 128 * 1024
# Well below the kernel's quarter of an 8 MiB stack, so that argv fits beside it.
_ALL_STRINGS: Final = 1536 * 1024
# Places inside that are the sandbox's own; below /usr there may be mounts (language runtimes).
_TAKEN: Final = frozenset({"/", "/usr", "/run", "/var"})
_TAKEN_WHOLE: Final = frozenset({"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys"})


@dataclass(frozen=True, slots=True)
class Mount:
    """A host directory or file shown inside at `target`; read-only unless said otherwise."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps on the whole process tree; None: no cap. `file_bytes` caps the size of any one file."""

    memory_bytes: int | None = None
    cpu_millicores: int | None = None
    pids: int | None = None
    file_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """One sandboxed program.

    `owner` names whose program it is: owners never share a uid. A `cwd` that does not exist ends it with code 126, a
    command that does not with 127. `hosts` are extra lines of /etc/hosts, name to
    address. /tmp is an empty tmpfs unless a mount takes its place.
    """

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: str
    mounts: Sequence[Mount]
    owner: str
    network: bool = True
    limits: Limits = field(default_factory=Limits)
    hosts: Mapping[str, str] = field(default_factory=dict)

    def check(self, forbidden: Path) -> None:
        """Passes when this can be run and shows no directory that contains `forbidden`; else Invalid says what."""
        if not self.argv:
            raise Invalid("There is no command to run.", field="argv")
        if not self.owner:
            raise Invalid("A sandboxed program needs an owner.", field="owner")
        _check_strings(self.argv, self.env)
        _check_hosts(self.hosts)
        _check_target(self.cwd, "cwd")
        for mount in self.mounts:
            _check_target(mount.target, "mounts")
            if mount.target in _TAKEN or PurePosixPath(mount.target).parts[1] in _TAKEN_WHOLE:
                raise Invalid(f"“{mount.target}” inside the sandbox is not for mounts.", field="mounts")
            source = mount.source.resolve()
            if not source.exists():
                raise Invalid(f"{mount.source} cannot be mounted: it does not exist.", field="mounts")
            if source == forbidden or source in forbidden.parents:
                raise Invalid(f"{mount.source} cannot be mounted: it holds the platform's own files.", field="mounts")


@dataclass(frozen=True, slots=True)
class Exit:
    """How a program ended.

    `code` is None when it is not known, or when the sandbox was killed; `signal` is set when the program died of one
    (a shell's 128 + n counts as signal n). `oom`: the kernel killed something in it for memory.
    """

    code: int | None
    signal: int | None = None
    oom: bool = False
    timed_out: bool = False


@dataclass(frozen=True, slots=True)
class Process:
    """A detached program: `pid` is its sandbox's first process as the host sees it, since `start_ticks` after boot.

    `status` is the file that bubblewrap writes; its lock, beside it, is held exactly as long as anything runs inside.
    """

    pid: int
    start_ticks: int
    key: str
    status: Path


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU time since the start, in microseconds, and memory in use now, in bytes, of the whole tree."""

    cpu_microseconds: int
    memory_bytes: int


def exit_of(code: int, *, oom: bool = False) -> Exit:
    """Reads a shell-style code: 137 is 137 by signal 9."""
    signal = code - 128 if 128 < code <= 128 + 64 else None  # noqa: PLR2004 - the shell's rule; Linux has 64 signals
    return Exit(code=code, signal=signal, oom=oom)


def _check_strings(argv: Sequence[str], env: Mapping[str, str]) -> None:
    total = 0
    for name, value in [*env.items(), *(("", word) for word in argv)]:
        if "\0" in name or "\0" in value:
            raise Invalid("A NUL character can be in no argument and no variable.", field=name or "argv")
        if "=" in name:
            raise Invalid(f"“{name}” is no name for a variable: it holds “=”.", field=name)
        size = len(name.encode(errors="surrogateescape")) + len(value.encode(errors="surrogateescape")) + 2
        if size > _ONE_STRING:
            what = f"Variable {name}" if name else "An argument"
            raise Invalid(f"{what} is longer than the kernel passes on (128 KiB).", field=name or "argv")
        total += size
    if total > _ALL_STRINGS:
        raise Invalid("All variables together are larger than the kernel passes on (1.5 MiB).", field="env")
    if "" in env:
        raise Invalid("A variable needs a name.", field="env")


def _check_hosts(hosts: Mapping[str, str]) -> None:
    for name, address in hosts.items():
        if not name or any(c.isspace() or c in "#\0" for c in name + address):
            raise Invalid(f"“{name}” is no host name.", field="hosts")


def _check_target(path: str, field_name: str) -> None:
    pure = PurePosixPath(path)
    if not pure.is_absolute() or ".." in pure.parts or str(pure) != path or path.startswith("//"):
        raise Invalid(f"“{path}” is no plain absolute path.", field=field_name)

"""Writes bubblewrap's arguments and the two constant scripts around it: what a program sees and what it does not."""

from __future__ import annotations

import re
import resource
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from libs.sandbox import seccomp
from libs.sandbox.bwrap import CLEAN_ENV, PRIVILEGES, Bubblewrap, drop_to
from libs.sandbox.spec import Limits, Spec

# File numbers inside the launch; below 10 where a shell must name them.
ARGS, STATUS, LOCK, ENVIRONMENT, READY, HOSTS, PASSWD, GROUP, FILTER = 3, 4, 5, 6, 7, 10, 11, 12, 13

# Enters the groups (paths), sets the limits (-x value), then becomes the program after "--". Nothing is spliced in.
_ENTER: Final = """
while [ "$1" != -- ]; do
  case "$1" in
    /*) echo 0 > "$1" || exit 125 ;;
    *) ulimit "$1" "$2" || exit 125; shift ;;
  esac
  shift
done
shift
exec "$@"
"""
# Runs as the owner already: closes what was for bubblewrap only, makes itself the first to go when memory is short,
# caps processes when asked, goes to its directory, reads the environment, says that it is ready and
# becomes the program.
_INSIDE: Final = f"""
exec {ARGS}<&- {STATUS}<&- {LOCK}<&-
echo 500 2>/dev/null >/proc/self/oom_score_adj
[ -z "$1" ] || ulimit -u "$1" 2>/dev/null || ulimit -p "$1"
cd -- "$2" || exit 126
shift 2
unset OLDPWD
. /proc/self/fd/{ENVIRONMENT}
exec {ENVIRONMENT}<&-
trap '' PIPE
echo 2>/dev/null >&{READY}
trap - PIPE
exec {READY}>&-
exec "$@"
"""
_WRITER: Final = "until cat; do sleep 1; done"
_ETC: Final = (
    "alternatives",
    "ca-certificates",
    "gai.conf",
    "host.conf",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "timezone",
)
_ROOTS: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_NAME: Final = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
# Names that some shells keep for themselves; they travel by env(1) instead.
_SHELLS_OWN: Final = frozenset(
    {"UID", "EUID", "PPID", "SHELLOPTS", "BASHOPTS", "BASH_VERSINFO", "OPTIND", "LINENO", "IFS", "PS4", "ENV", "_"}
)
_SCRATCH: Final = 1024**3  # bytes of /tmp and of /dev/shm when memory has no cap of its own


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch: the whole argv, and the texts that go to it as open files (file number to content)."""

    argv: list[str]
    texts: dict[int, bytes]


def launch(spec: Spec, bubblewrap: Bubblewrap, uid: int, *, doors: Sequence[Path], tied: bool) -> Launch:
    """Everything needed to start `spec` as `uid`; `doors` are cgroup files to enter; `tied`: dies with its parent."""
    grouped = bool(doors)
    arguments = _arguments(spec, bubblewrap, tied=tied)
    argv = [
        "/bin/sh",
        "-c",
        _ENTER,
        "sh",
        *(str(door) for door in doors),
        *_ulimits(spec.limits, grouped=grouped),
        "--",
        bubblewrap.path,
        "--args",
        str(ARGS),
        "--",
        *(drop_to(uid) if bubblewrap.privileged else ()),
        "/bin/sh",
        "-c",
        _INSIDE,
        "sh",
        "" if grouped or spec.limits.pids is None else str(spec.limits.pids),
        spec.cwd,
        *_odd_variables(spec.env),
        *spec.argv,
    ]
    hosts = {"localhost": "127.0.0.1", **spec.hosts}
    texts = {
        ARGS: b"".join(argument.encode(errors="surrogateescape") + b"\0" for argument in arguments),
        ENVIRONMENT: _exports(spec.env),
        HOSTS: "".join(f"{address}\t{name}\n" for name, address in hosts.items()).encode(),
        PASSWD: f"root:x:0:0::/:/bin/sh\napp:x:{uid}:{uid}::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n".encode(),
        GROUP: f"root:x:0:\napp:x:{uid}:\nnogroup:x:65534:\n".encode(),
    }
    if program := seccomp.program():
        texts[FILTER] = program
    return Launch(argv, texts)


def _arguments(spec: Spec, bubblewrap: Bubblewrap, *, tied: bool) -> list[str]:
    found = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--new-session"]
    found += ["--hostname", "lightrail", "--json-status-fd", str(STATUS), "--sync-fd", str(LOCK)]
    found += ["--die-with-parent"] if tied else []
    found += ["--seccomp", str(FILTER)] if seccomp.program() else []
    found += [] if spec.network else ["--unshare-net"]
    found += PRIVILEGES if bubblewrap.privileged else ("--unshare-user", "--cap-drop", "ALL")
    found += ["--clearenv", "--setenv", "PATH", CLEAN_ENV["PATH"]]
    found += _system()
    size = str(spec.limits.memory_bytes or _SCRATCH)
    scratch = ["/dev/shm", "/tmp", "/var/tmp"]  # noqa: S108 - inside, where they are the program's own
    targets = {mount.target for mount in spec.mounts}
    for place in scratch:
        if place not in targets:
            found += ["--perms", "1777", "--size", size, "--tmpfs", place]
    for number, place in ((HOSTS, "/etc/hosts"), (PASSWD, "/etc/passwd"), (GROUP, "/etc/group")):
        found += ["--perms", "0444", "--ro-bind-data", str(number), place]
    for mount in sorted(spec.mounts, key=lambda mount: mount.target.count("/")):
        found += _above(mount.target, targets)
        found += ["--bind" if mount.writable else "--ro-bind", str(mount.source.resolve()), mount.target]
    return [*found, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/"]


def _above(target: str, targets: Collection[str]) -> list[str]:
    """The directories above a mount that nothing else makes, open to the owner: bubblewrap's own are root's alone."""
    found = []
    for folder in reversed(PurePosixPath(target).parents[:-1]):
        if str(folder) not in targets:
            found += ["--perms", "0755", "--dir", str(folder)]
    return found


def _system() -> list[str]:
    """The host's programs and libraries and the few files of /etc that libraries read; nothing else of the host."""
    found = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
    for folder in ("/etc", "/run", "/var"):
        found += ["--perms", "0755", "--dir", folder]
    for name in _ROOTS:
        path = Path("/") / name
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    for name in _ETC:
        path = Path("/etc") / name
        if path.exists():
            found += ["--ro-bind", str(path.resolve()), str(path)]
    if Path("/etc/ssl/private").is_dir():
        found += ["--perms", "0000", "--tmpfs", "/etc/ssl/private"]
    return found


def _ulimits(limits: Limits, *, grouped: bool) -> list[str]:
    found = ["-c", "0", "-n", str(_open_files())]
    if limits.file_bytes is not None:
        found += ["-f", str(max(1, limits.file_bytes // 512))]
    if limits.memory_bytes is not None and not grouped:
        found += ["-d", str(max(1, limits.memory_bytes // 1024))]
    return found


def _open_files() -> int:
    wanted = 65536
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _odd_variables(env: Mapping[str, str]) -> list[str]:
    odd = [f"{name}={value}" for name, value in env.items() if not _plain(name)]
    return ["/usr/bin/env", *odd] if odd else []


def _exports(env: Mapping[str, str]) -> bytes:
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in env.items() if _plain(name)]
    if "PATH" not in env:
        lines.append("unset PATH\n")
    return "".join(lines).encode(errors="surrogateescape")


def _plain(name: str) -> bool:
    return bool(_NAME.match(name)) and name not in _SHELLS_OWN


def writer(doors: Sequence[Path]) -> list[str]:
    """The argv of the program that appends its input to its output; a full disk loses lines, never the writer."""
    return ["/bin/sh", "-c", _ENTER, "sh", *(str(door) for door in doors), "--", "/bin/sh", "-c", _WRITER]

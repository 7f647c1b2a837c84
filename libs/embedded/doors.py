"""Sockets that only parts of one platform reach: in a directory closed to others, which no application sees.

Applications share the machine's network, so a TCP port on loopback is open to each of them. A socket in a directory
is not: sandboxes show neither LIGHTRAIL_HOME nor the directories that stand in for it here.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from libs.embedded import account, files
from libs.kernel.errors import Unavailable

UNIX: Final = "unix:"
# Envoy asks the router here.
ADS: Final = "ads.sock"
# Envoy tells its numbers, and obeys, here.
ADMIN: Final = "admin.sock"
# Bytes of a path that the kernel takes for a socket.
LONGEST: Final = 107


def unix_path(address: str) -> Path | None:
    """Returns the path of an address of the form unix:/path; None when it is host:port."""
    return Path(address.removeprefix(UNIX)) if address.startswith(UNIX) else None


def choose(wanted: Path, memory: Path, environ: Mapping[str, str]) -> Path:
    """Returns the directory for sockets: `wanted`, or when its path is too long a short one that `memory` remembers."""
    if len(os.fsencode(wanted / ADMIN)) <= LONGEST:
        return wanted
    known = remembered(memory)
    if known is not None:
        return known
    short = _base(environ) / f"lightrail-{secrets.token_hex(8)}"
    files.make_room(memory.parent)
    files.write_private(memory, str(short))
    return short


def remembered(memory: Path) -> Path | None:
    """Returns the short directory that was chosen once; None when there was no need."""
    try:
        return Path(memory.read_text())
    except FileNotFoundError:
        return None


def make_room(room: Path) -> None:
    """Makes the directory, or takes it back: open to Envoy's account and to root or this user alone.

    Unavailable when something of another user is in its place.
    """
    owner = account.unprivileged()
    room.mkdir(mode=0o700, exist_ok=True)
    found = room.lstat()
    mine = {os.geteuid(), owner.uid} if owner else {os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in mine:
        raise Unavailable(f"{room} belongs to another user.", hint="Remove it and start the platform again.")
    room.chmod(0o700)
    if owner:
        owner.own(room)


def _base(environ: Mapping[str, str]) -> Path:
    """A directory with a short path: the system's or the user's for such files, else the one for temporary files."""
    if os.geteuid() == 0 and Path("/run").is_dir():
        return Path("/run")
    own = environ.get("XDG_RUNTIME_DIR", "")
    return Path(own) if own and os.access(own, os.W_OK) else Path(tempfile.gettempdir())

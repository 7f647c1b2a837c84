"""The unprivileged account that PostgreSQL, NATS and Envoy run as when the platform is started by root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from stat import S_IXGRP, S_IXOTH, S_IXUSR

from libs.kernel.errors import Unavailable

NAME = "nobody"


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, by numbers."""

    uid: int
    gid: int

    def own(self, path: Path) -> None:
        """Gives `path` itself (not what is below it) to this account."""
        os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def closed_above(self, path: Path) -> Path | None:
        """Returns the topmost directory above `path` that this account may not pass through; None: the way is open."""
        for parent in reversed(path.absolute().parents):
            status = parent.stat()
            bit = S_IXUSR if status.st_uid == self.uid else S_IXGRP if status.st_gid == self.gid else S_IXOTH
            if not status.st_mode & bit:
                return parent
        return None


def unprivileged() -> Account | None:
    """Returns the account to start parts as; None when this process is no root and they simply share its user.

    Unavailable when the machine has no such account.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        raise Unavailable(
            f"PostgreSQL refuses to run as root, and this machine has no account “{NAME}” to run it as.",
            hint=f"Add the account “{NAME}”, or start the platform as an ordinary user.",
        ) from None
    return Account(entry.pw_uid, entry.pw_gid)

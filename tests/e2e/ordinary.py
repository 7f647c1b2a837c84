"""Commands as an ordinary user, in a test that runs as root."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path
from stat import S_IXOTH

from tests.e2e.platform import ROOT

NAME = "nobody"
# Folders that only root may walk through are covered, in a mount namespace of the command's own, by empty ones that
# show only what the command needs. Arguments: where to hold that, folders each with what it shows, --, command.
_ENTER = """
set -eu
hold=$1; shift
number=0
while [ "$1" != -- ]; do
  number=$((number + 1)); mkdir -p "$hold/$number"; mount --bind "$2" "$hold/$number"
  eval "closed_$number=\\$1 shown_$number=\\$2"; shift 2
done
shift
last=$number; number=0; covered=
while [ "$number" -lt "$last" ]; do
  number=$((number + 1)); eval "closed=\\$closed_$number shown=\\$shown_$number"
  case ":$covered:" in *":$closed:"*) ;; *) mount -t tmpfs -o mode=755 none "$closed"; covered=$covered:$closed ;; esac
  mkdir -p "$shown"; mount --bind "$hold/$number" "$shown"
done
cd "$PWD"
exec setpriv --reuid "$USER" --regid "$(id -g "$USER")" --clear-groups --inh-caps=-all --bounding-set=-all "$@"
"""


def uid() -> int:
    """The ordinary user's number."""
    return pwd.getpwnam(NAME).pw_uid


def prefix(hold: Path) -> tuple[str, ...]:
    """What to put before a command. It finds the checkout and its interpreter wherever they lie."""
    needed = dict.fromkeys(str(Path(one).resolve()) for one in (ROOT, sys.prefix, sys.base_prefix))
    covers = [word for one in needed if (closed := _closed(Path(one))) for word in (str(closed), one)]
    enter = ["unshare", "--mount", "--propagation", "private", "env", f"USER={NAME}", "sh", "-c", _ENTER, "sh"]
    return (*enter, str(hold), *covers, "--")


def obstacle(before: tuple[str, ...]) -> str:
    """Why commands cannot run this way on this machine; empty when they can."""
    if os.geteuid() != 0:
        return "only root can act as another user; this run is an ordinary user's already"
    if missing := [tool for tool in ("unshare", "setpriv") if not shutil.which(tool)]:
        return f"this machine lacks {' and '.join(missing)}"
    ask = [*before, sys.executable, "-c", "import sys, os; sys.exit(os.geteuid() == 0)"]
    done = subprocess.run(ask, cwd="/", capture_output=True, text=True, timeout=20, check=False)
    return f"{NAME} cannot run {sys.executable}: {done.stderr.strip()[-300:]}" if done.returncode else ""


def _closed(path: Path) -> Path | None:
    """The outermost folder above the path that others may not walk through."""
    return next((one for one in reversed(path.parents) if not one.stat().st_mode & S_IXOTH), None)

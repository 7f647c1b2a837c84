"""Places for container engines and a registry of the tests' own."""

from __future__ import annotations

import fcntl
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from libs.sandbox.mounts import unmount_below

_LOCK = "held"
_START_SECONDS = 40.0
USER = "pusher"
PASSWORD = "for-the-tests-alone"
# The same, as bcrypt has it.
_HTPASSWD = f"{USER}:$2b$04$9Ow2tDx.l.Q3xu.EJoT/K.B5iNznqXkovefjUS0XdOSlUiUgW3Od6\n"
_REGISTRY = """\
version: 0.1
storage:
  filesystem:
    rootdirectory: {folder}/data
http:
  addr: 127.0.0.1:0
auth:
  htpasswd:
    realm: tests
    path: {folder}/htpasswd
log:
  level: info
"""


def require(*programs: str) -> None:
    """Skips the test when a program is missing, and says which."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@contextmanager
def engine_room(prefix: str = "lr-images-") -> Iterator[Path]:
    """A folder for engines and their stores: short, as a socket's path may not be long; with nothing mounted later.

    Rooms that killed tests left are cleared first: nobody holds their lock any more.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with suppress(OSError), (left / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _clear(left)
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    folder.chmod(0o711)
    with (folder / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            _clear(folder)


def _clear(folder: Path) -> None:
    unmount_below(folder)
    # A hundred thousand files: the program is much faster than Python.
    subprocess.run(["rm", "-rf", "--one-file-system", str(folder)], check=False)


@contextmanager
def running(argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended afterwards, with all that it started."""
    # Told to end as well when the tests are killed.
    bound = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    with log.open("wb") as out:
        process = subprocess.Popen([*bound, *argv], stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def distribution(folder: Path) -> Iterator[str]:
    """A registry that lets only USER with PASSWORD in; gives host:port."""
    require("docker-registry")
    (folder / "htpasswd").write_text(_HTPASSWD, encoding="ascii")
    (folder / "config.yml").write_text(_REGISTRY.format(folder=folder), encoding="ascii")
    log = folder / "docker-registry"
    with running(["docker-registry", "serve", str(folder / "config.yml")], log) as process:
        yield f"127.0.0.1:{_port(process, log)}"


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Where the registry listens: it says so once it does."""
    deadline = time.monotonic() + _START_SECONDS
    while not (found := re.search(r"listening on \S*?:(\d+)", log.read_text(encoding="utf-8"))):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.skip(f"docker-registry does not start here: {log.read_text(encoding='utf-8').strip()[-300:]}")
        time.sleep(0.1)
    return int(found[1])

"""Container engines of the tests' own: a Docker daemon with a folder and a socket of its own, and a registry."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

_START_SECONDS = 40.0


def require(*programs: str) -> None:
    """Skips the test when a program is missing, and says which."""
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """A Docker daemon that keeps everything in `folder`; gives its address."""
    require("dockerd", "docker")
    host = f"unix://{folder}/docker.sock"
    argv = [
        "dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec"), "--host", host,
        "--pidfile", str(folder / "pid"), "--bridge", "none", "--iptables=false", "--ip-masq=false",
    ]  # fmt: skip
    with running(argv, folder / "dockerd") as process:
        _await(process, folder / "dockerd", ["docker", "--host", host, "version"])
        yield host


@contextmanager
def running(argv: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A program that is ended afterwards, with all that it started."""
    with log.open("wb") as out:
        process = subprocess.Popen(argv, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes], log: Path, question: Sequence[str]) -> None:
    """Waits until the program answers; skips with its last words when it ends instead."""
    deadline = time.monotonic() + _START_SECONDS
    while subprocess.run(question, capture_output=True, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            pytest.skip(f"{log.name} does not start here: {said[-1] if said else 'it said nothing'}")
        time.sleep(0.2)

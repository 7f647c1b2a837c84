"""One program the platform runs: how it is started, known to be ready, and stopped."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.embedded.account import Account

_ENTER = Path(__file__).with_name("enter.py")


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything needed to run one part. Two specs with one fingerprint run the same thing."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path
    # The port it serves, for people to see; 0 when it has none.
    port: int
    # Whether it is ready to serve. Blocking, a second at most.
    ready: Callable[[], bool]
    # A part that runs, but is not ready after this many seconds, is started anew.
    patience: float = 60.0
    # None: the same user as the platform.
    account: Account | None = None
    # Files and directories it must reach, whatever its account.
    reach: tuple[Path, ...] = ()
    # Signals to end it, each with the seconds it is given; SIGKILL is added by whoever stops it.
    stop: tuple[tuple[signal.Signals, float], ...] = ((signal.SIGTERM, 10.0),)
    # Where it runs; modules of the platform are found from there.
    cwd: Path = Path("/")
    # Contents of its configuration, so that a change of it is a change of the part.
    configuration: str = ""
    # Parts that must not outlive their starter, as in tests.
    die_with_starter: bool = False
    # Whether it is one server of several processes, whose memory is counted together.
    forks: bool = False

    @property
    def fingerprint(self) -> str:
        """A digest of what runs: program, arguments, environment, account, configuration."""
        account = (self.account.uid, self.account.gid) if self.account else None
        program = Path(self.argv[0]).stat()
        said = [self.argv, sorted(self.env.items()), account, self.configuration, program.st_size, program.st_mtime_ns]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def launch(spec: Spec) -> subprocess.Popen[bytes]:
    """Starts the part in a session of its own, its output appended to its log."""
    argv, account = list(spec.argv), spec.account
    covers = _covers(spec)
    if covers or spec.die_with_starter:
        order = {
            "uid": spec.account.uid if spec.account else None,
            "gid": spec.account.gid if spec.account else None,
            "covers": [str(path) for path in covers],
            "binds": [str(path) for path in spec.reach] if covers else [],
            "die_with": os.getpid() if spec.die_with_starter else 0,
        }
        argv = [sys.executable, "-I", "-S", str(_ENTER), json.dumps(order), *argv]
        account = None
    with spec.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - argv is the platform's own
            argv,
            env=dict(spec.env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.cwd,
            start_new_session=True,
            umask=0o077,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )


def run_once(spec: Spec, *, timeout: float) -> int:
    """Runs a program that ends by itself; returns its exit code. subprocess.TimeoutExpired after `timeout` seconds."""
    process = launch(spec)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise


def _covers(spec: Spec) -> list[Path]:
    """The closed directories between the root directory and what the part must reach; outermost ones only."""
    if spec.account is None:
        return []
    return sorted({closed for path in spec.reach if (closed := spec.account.closed_above(path))})

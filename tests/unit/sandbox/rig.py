"""What the sandbox's tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Exit, Process, Spec
from libs.testing.eventually import eventually

PATH = {"PATH": "/usr/bin:/bin"}
ROOT = os.geteuid() == 0
# How long naps last that nobody waits for; a number of this test process's own, so that tests in parallel do not mix.
NAP = f"7{os.getpid()}"


def spec(*argv: str, **other: Any) -> Spec:
    given: dict[str, Any] = {"env": PATH, "cwd": "/", "mounts": (), "owner": "test"} | other
    return Spec(argv=argv, **given)


def sh(script: str, **other: Any) -> Spec:
    return spec("/bin/sh", "-c", script, **other)


class Heard:
    """Collects output."""

    def __init__(self) -> None:
        self.out = b""
        self.err = b""

    async def __call__(self, stream: str, chunk: bytes) -> None:
        if stream == "stdout":
            self.out += chunk
        else:
            self.err += chunk


async def run(sandbox: Sandbox, wanted: Spec, seconds: float = 20) -> tuple[Exit, Heard]:
    heard = Heard()
    return await sandbox.run(wanted, output=heard, timeout=seconds), heard


async def start(sandbox: Sandbox, wanted: Spec, folder: Path, name: str = "one") -> Process:
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240 - a test
    return await sandbox.start(wanted, output=folder / f"{name}.out", status=folder / f"{name}.status", key=name)


async def gone(sandbox: Sandbox, process: Process) -> Exit:
    async def claim() -> Exit:
        assert not await sandbox.alive(process)
        found = await sandbox.exited(process)
        assert found
        return found

    return await eventually(claim)


def naps() -> int:
    """How many naps of this test process are being slept anywhere on the machine."""
    lines = (line.split(b"\0") for line in command_lines())
    return sum(line[0].endswith(b"sleep") and NAP.encode() in line for line in lines)


def command_lines() -> list[bytes]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(entry.read_bytes())
        except OSError:
            continue
    return found

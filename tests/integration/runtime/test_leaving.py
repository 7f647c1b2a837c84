"""A process whose work has failed ends, whatever hangs while it leaves: half gone it would never be started again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from libs.embedded.ports import free_port
from libs.kernel.secret import Secret
from libs.rpc import Identity

HANGS = """
import asyncio, os, signal
from contextlib import asynccontextmanager
from libs.runtime import process
from libs.runtime.clock import SystemClock
from libs.runtime.module import Module
from libs.runtime.opened import Opened

process.LEAVE_SECONDS = 0.5


async def fails():
    {first}
    raise ArithmeticError("this loop is at its end")


async def hangs():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            print("asked to end", flush=True)


@asynccontextmanager
async def opened(host):
    yield Opened(servicers=[], loops=[fails, hangs])


async def main():
    running = process.Process([Module("auth", opened)], dict(os.environ), SystemClock())
    process.stop_on_signals(running)
    await running.run()


asyncio.run(main())
"""


@pytest.mark.parametrize(
    "first",
    ["await asyncio.sleep(0)", "os.kill(os.getpid(), signal.SIGTERM); await asyncio.Event().wait()"],
    ids=["a loop failed", "asked to stop"],
)
def test_a_process_that_cannot_leave_ends(nats_url: Secret[str], tmp_path: Path, first: str) -> None:
    Identity.generate(tmp_path / "identity.pem")
    environ = {
        "LIGHTRAIL_AUTH_ADDRESS": f"127.0.0.1:{free_port()}",
        "LIGHTRAIL_NATS_URL": nats_url.reveal(),
        "LIGHTRAIL_IDENTITY_KEY_FILE": str(tmp_path / "identity.pem"),
        "LIGHTRAIL_METRICS_ADDRESS": "127.0.0.1:0",
    }
    done = subprocess.run(
        [sys.executable, "-c", HANGS.format(first=first)],
        env={**os.environ, **environ}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "asked to end" in done.stdout
    assert done.returncode == 1
    assert "Timeout" in done.stderr, "what it was doing is in the log"
    said = done.stdout + done.stderr
    assert ("loop.failed" in said and "this loop is at its end" in said) is ("sleep" in first), "and so is why it ended"

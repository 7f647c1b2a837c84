"""How long a changed line needs until visitors see it, against starting the app by hand; and who notices a change."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from tests.bench.measure import Measure, middle
from tests.e2e.application import Application, copy_of
from tests.e2e.load import Load, load
from tests.e2e.platform import LR, Platform, free_port

TRIES = 5
FACTOR, EXTRA_SECONDS = 2.5, 1.0
DEPLOYMENTS, REQUESTS_PER_SECOND = 30, 200.0
# A load that came to less than this share of itself says nothing about failures.
LEAST_SHARE = 0.95
PATIENCE_SECONDS = 60
POLL_SECONDS = 0.01


async def second_up(platform: Platform) -> list[Measure]:
    """Changes one line of the guestbook and measures from the command to the first answer that has it."""
    with tempfile.TemporaryDirectory() as scratch:
        app = Application(platform, "changed", copy_of("guestbook-python", Path(scratch)))
        await app.create()
        await app.settings(drain_seconds=1)
        await app.up()
        by_hand = await _by_hand(app.directory)
        tries = []
        shown = "Welcome to the guestbook"
        for number in range(TRIES):
            app.edit("main.py", shown, f"Edition {number}")
            shown = f"Edition {number}"
            tries.append(await _until_shown(app, shown))
        await platform.api("DELETE", f"/projects/{app.project['id']}")
    hand, took = middle(by_hand), middle(tries)
    note = f"median of {TRIES}; {took / hand:.2f} × by hand; slowest {max(tries):.2f} s"
    return [
        Measure("guestbook by hand until 200", hand, "s", note=f"median of {TRIES}"),
        Measure("one-line change, lr up until new 200", took, "s", FACTOR * hand + EXTRA_SECONDS, note),
    ]


async def _until_shown(app: Application, text: str) -> float:
    before = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *LR, "up", cwd=app.directory, env=app.platform.environ,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    took = await _until(app.platform.url, {"Host": app.host}, text, before)
    if await process.wait() != 0:
        raise RuntimeError("lr up failed")
    return took


async def _by_hand(directory: Path) -> list[float]:
    """Starts the app as its author would, in an environment that has its packages, and polls until it answers."""
    with tempfile.TemporaryDirectory() as scratch:
        uv = str(Path(sys.executable).parent / "uv")
        venv = Path(scratch) / "venv"
        await _done(uv, "venv", "--quiet", "--python", sys.executable, str(venv))
        python = str(venv / "bin" / "python")
        requirements = str(directory / "requirements.txt")
        await _done(uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-r", requirements)
        tries = []
        for _ in range(TRIES):
            port = free_port()
            before = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                python, "-m", "uvicorn", "main:app", "--port", str(port), cwd=directory,
                env={**os.environ, "GUESTBOOK_FILE": f"{scratch}/guestbook.db"},
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
            tries.append(await _until(f"http://127.0.0.1:{port}", {}, "", before))
            process.terminate()
            await process.wait()
        return tries


async def _done(*argv: str) -> None:
    process = await asyncio.create_subprocess_exec(*argv)
    if await process.wait() != 0:
        raise RuntimeError(f"{argv[0]} failed")


async def _until(url: str, headers: dict[str, str], text: str, before: float) -> float:
    async with httpx2.AsyncClient(timeout=5) as client:
        while time.monotonic() - before < PATIENCE_SECONDS:
            try:
                answer = await client.get(url, headers=headers)
            except httpx2.TransportError:
                answer = None
            if answer is not None and answer.is_success and text in answer.text:
                return time.monotonic() - before
            await asyncio.sleep(POLL_SECONDS)
    raise RuntimeError(f"{url} did not show “{text}” in {PATIENCE_SECONDS} s")


async def thirty_deployments(platform: Platform) -> list[Measure]:
    """Deploys again and again under load and counts requests that were not answered with 200."""
    with tempfile.TemporaryDirectory() as scratch:
        app = Application(platform, "busy", copy_of("guestbook-python", Path(scratch)))
        await app.create()
        await app.settings(drain_seconds=5)
        await app.up()
        before = time.monotonic()
        async with load(platform.port, app.host, per_second=REQUESTS_PER_SECOND, path="/") as counts:
            for number in range(DEPLOYMENTS):
                app.write("edition.txt", f"{number}\n")
                await app.up()
        took = time.monotonic() - before
        await platform.api("DELETE", f"/projects/{app.project['id']}")
    return under_load(counts, took)


def under_load(counts: Load, took: float) -> list[Measure]:
    """Rows of the deployments' load: what failed, and whether there was the load that was meant."""
    sent = f"of {counts.sent} requests, slowest {counts.slowest:.2f} s {counts.failures[:3] or ''}"
    return [
        Measure(f"failed requests in {DEPLOYMENTS} deployments", counts.failed, "", 0, sent),
        Measure("load meanwhile", counts.sent / took, "requests/s", floor=LEAST_SHARE * REQUESTS_PER_SECOND),
        Measure("one deployment under load", took / DEPLOYMENTS, "s", note="mean, from command to exit"),
    ]

"""How long the slug builder takes: cold against the same commands by hand, and after a change against cold."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from libs.plans.plan import Runtime
from tests.bench.measure import Measure, middle
from tests.e2e.application import copy_of
from tests.integration.build.sites import Site

# The file that a change is made to.
EXAMPLES = {"guestbook-python": "main.py", "node-express": "server.js"}
COLD_TRIES, TRIES = 3, 5
AGAIN_FACTOR = 0.15
FACTOR, EXTRA_SECONDS = 1.15, 0.5


async def slug() -> list[Measure]:
    """Builds each example: by hand with empty caches, by the platform with empty caches, after changes."""
    return [row for example, changed in EXAMPLES.items() for row in await _example(example, changed)]


async def _example(example: str, changed: str) -> list[Measure]:
    by_hand, cold, again = [], [], []
    for _ in range(COLD_TRIES):
        with tempfile.TemporaryDirectory(prefix="lr-", dir="/tmp") as scratch:
            os.chmod(scratch, 0o711)  # noqa: PTH101, S103 - accounts of builds walk through it
            folder = Path(scratch)
            source = copy_of(example, folder)
            site = await Site.open(folder / "site")
            # Interpreters are the machine's, not the build's: they are there on both sides.
            await site.builder.runtimes.find(Runtime("node" if (source / "package.json").exists() else "python"))
            by_hand.append(await _by_hand(copy_of(example, folder / "hand"), folder))
            cold.append(await _built(site, source))
            for number in range(TRIES):
                with (source / changed).open("a", encoding="utf-8") as file:
                    file.write(f"\n{'#' if changed.endswith('.py') else '//'} {number}\n")
                again.append(await _built(site, source))
    hand, first, later = middle(by_hand), middle(cold), middle(again)
    return [
        Measure(f"{example} by hand, cold", hand, "s", note=f"median of {COLD_TRIES}"),
        Measure(
            f"{example} slug build, cold", first, "s", FACTOR * hand + EXTRA_SECONDS, f"{first / hand:.2f} × by hand"
        ),
        Measure(
            f"{example} slug build, source changed", later, "s", AGAIN_FACTOR * first, f"{later / first:.3f} × cold"
        ),
    ]


async def _built(site: Site, source: Path) -> float:
    before = time.monotonic()
    await site.build(source)
    return time.monotonic() - before


async def _by_hand(source: Path, scratch: Path) -> float:
    """The commands of the plan, as somebody would type them, with caches that are empty."""
    uv = str(Path(sys.executable).parent / "uv")
    caches = {"UV_CACHE_DIR": str(scratch / "uv"), "npm_config_cache": str(scratch / "npm"), "UV_LINK_MODE": "copy"}
    if (source / "package.json").exists():
        commands: Sequence[Sequence[str]] = [(_npm(), "ci", "--omit=dev", "--no-audit", "--no-fund", "--loglevel=warn")]
    else:
        venv = str(source / ".venv")
        python = str(source / ".venv" / "bin" / "python")
        commands = [
            (uv, "venv", "--quiet", "--python", sys.executable, venv),
            (uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python, "-r", "requirements.txt"),
        ]
    before = time.monotonic()
    for argv in commands:
        process = await asyncio.create_subprocess_exec(*argv, cwd=source, env={**os.environ, **caches})
        if await process.wait() != 0:
            raise RuntimeError(f"{argv[0]} failed")
    return time.monotonic() - before


def _npm() -> str:
    found = shutil.which("npm")
    if found is None:
        raise RuntimeError("There is no npm to compare with.")
    return found

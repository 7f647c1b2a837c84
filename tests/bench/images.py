"""Images: how much faster a rebuild is, and how large an image is beside one that a person wrote the Dockerfile of."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

from libs.runtime.clock import SystemClock
from libs.sandbox.cgroups import open_groups
from libs.stacks.debian import make_stack
from services.build.adapters.images.bridge import Bridge
from services.build.adapters.images.docker import DockerBuilder
from services.build.adapters.images.engine import Engine
from services.build.adapters.images.own import OwnEngine
from services.build.adapters.images.recipes import platform_of
from tests.bench.measure import Measure
from tests.contract.engines import engine_room
from tests.contract.workshop import Workshop, kitchen_of, rooms_of
from tests.integration.build.sites import EXAMPLES, Site

REBUILD, LARGER = 0.3, 1.1
_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
# As a person would write it on the same images; it needs the machine's authorities to reach its mirror.
HAND = """\
FROM lightrail/debian:build AS build
WORKDIR /app
COPY requirements.txt ./
RUN --mount=type=bind,source=ca.crt,target=/etc/ssl/certs/ca-certificates.crt \\
    export SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt && \\
    uv venv --python /usr/bin/python3 .venv && uv pip install --no-cache --requirement requirements.txt

FROM lightrail/debian:run
WORKDIR /app
COPY --from=build /app/.venv .venv
COPY main.py ./
COPY templates templates
USER app
CMD [".venv/bin/uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8080"]
"""


def images() -> list[Measure]:
    """Measures with an engine and a stack of its own; nothing where this machine has no engine."""
    if shutil.which("dockerd") is None or shutil.which("mmdebstrap") is None:
        return []
    groups = open_groups(f"{platform_of(Path(__file__))}-bench")
    if groups is None:
        return []
    with engine_room("lr-bench-") as folder:
        make_stack(folder / "stacks", lambda _: None)
        bridge = Bridge(platform_of(folder), os.environ)
        own = OwnEngine(folder / "docker", folder / "r", groups, bridge, SystemClock(), os.environ)
        return asyncio.run(_measured(folder, own))


async def _measured(folder: Path, own: OwnEngine) -> list[Measure]:
    try:
        # Started once: a build that finds it at rest waits 0.3 s more.
        async with own.held():
            return await _compared(folder, own)
    finally:
        await own.close()


async def _compared(folder: Path, own: OwnEngine) -> list[Measure]:
    site, engine = await Site.open(folder / "site"), Engine(own, os.environ)
    builder = DockerBuilder(
        engine, kitchen_of(site), folder / "stacks", site.blobs, site.clock, rooms_of(site), network=""
    )
    workshop = Workshop(site, "docker", builder.build)
    # Loads the stack, which is no part of a build.
    await workshop.build({"main.py": "print(1)\n"})
    source = await asyncio.to_thread(_texts)
    cold, made = await _timed(workshop, source)
    warm, _ = await _timed(workshop, {**source, "main.py": source["main.py"] + "# changed\n"})
    by_hand = await asyncio.to_thread(_by_hand, folder, await engine.program(), engine.environment())
    return [
        Measure("guestbook image, cold", cold, "s"),
        Measure("guestbook image, one line changed", warm, "s", REBUILD * cold, f"{warm / cold:.2f} × cold"),
        Measure("guestbook image by hand", by_hand / 2**20, "MiB"),
        Measure("guestbook image", made / 2**20, "MiB", LARGER * by_hand / 2**20, f"{made / by_hand:.3f} × by hand"),
    ]


async def _timed(workshop: Workshop, source: dict[str, str]) -> tuple[float, int]:
    """Seconds of a build, and the bytes of its image."""
    before = time.monotonic()
    artifact = await workshop.build(source)
    if artifact.image is None:
        raise RuntimeError("no image was made")
    return time.monotonic() - before, artifact.image.size_bytes


def _texts() -> dict[str, str]:
    folder = EXAMPLES / "guestbook-python"
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def _by_hand(folder: Path, program: str, environment: dict[str, str]) -> int:
    context = folder / "by-hand"
    shutil.copytree(EXAMPLES / "guestbook-python", context)
    shutil.copyfile(_BUNDLE, context / "ca.crt")
    (context / "Dockerfile").write_text(HAND, encoding="utf-8")
    argv = [program, "build", "--tag", "by-hand", str(context)]
    done = subprocess.run(argv, env=environment, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-1000:])
    size = [program, "image", "inspect", "--format", "{{.Size}}", "by-hand"]
    return int(subprocess.run(size, env=environment, check=True, capture_output=True, text=True).stdout)

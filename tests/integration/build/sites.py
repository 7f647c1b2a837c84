"""The real builder on this machine, with an index of layers in memory."""

from __future__ import annotations

import asyncio
import io
import os
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from libs.blobs.archive import unpack
from libs.blobs.directory import DirectoryBlobs
from libs.embedded import binaries
from libs.kernel.units import MIB
from libs.plans.detect import make_plan
from libs.plans.plan import PlanSettings
from libs.runtime.clock import SystemClock
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Limits
from services.build.adapters.archives import CheckedArchives, archive_limits
from services.build.adapters.caches import ToolCaches
from services.build.adapters.disk import DiskWatch
from services.build.adapters.registries import read_registries
from services.build.adapters.runtimes import Runtimes
from services.build.adapters.slug import SlugBuilder
from services.build.adapters.steps import Commands
from services.build.adapters.tools import Tools
from services.build.adapters.workdir import WorkDirs
from services.build.app.ports import Job, Lease, Output, Variables
from services.build.domain.log import Lines
from services.build.domain.model import Artifact, Build, BuildState, Layer, LogLine

EXAMPLES = Path(__file__).parents[3] / "examples"
LIMIT = 64 * MIB


class Index:
    """Dependency layers in memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Layer] = {}

    async def find(self, workspace_id: str, key: str, _now: datetime, _service_id: str = "") -> Layer | None:
        return self.kept.get((workspace_id, key))

    async def keep(self, workspace_id: str, key: str, layer: Layer, _now: datetime, _service_id: str = "") -> None:
        self.kept[workspace_id, key] = layer


class Heard:
    """Output kept as lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._open: dict[tuple[str, str], Lines] = {}

    async def say(self, step: str, text: str) -> None:
        self.lines.append(f"[{step}] {text}")

    async def chunk(self, step: str, stream: str, data: bytes) -> None:
        self.lines += self._open.setdefault((step, stream), Lines(())).feed(data)

    async def flush(self, _step: str) -> None:
        for lines in self._open.values():
            self.lines += lines.end()

    def recent(self, _step: str) -> list[str]:
        return self.lines[-20:]


class Kept:
    """A log in memory, as far as a writer needs it."""

    def __init__(self) -> None:
        self.lines: list[LogLine] = []

    async def append(self, _lease: Lease, lines: Sequence[LogLine]) -> bool:
        self.lines += lines
        return True


class Site:
    """One machine that builds."""

    def __init__(self, home: Path, sandbox: Sandbox, limits: Limits, deadline: float, disk: DiskWatch | None) -> None:
        self.home, self.sandbox, self.clock = home, sandbox, SystemClock()
        self.blobs = DirectoryBlobs(home / "blobs")
        base, uv = home / "build", str(binaries.uv())
        base.mkdir(mode=0o711)
        self.archives = CheckedArchives(self.blobs, base / "incoming", LIMIT)
        self.index = Index()
        self.builder = SlugBuilder(
            work=WorkDirs(base / "work"),
            caches=ToolCaches(base / "cache", base / "incoming", self.clock),
            blobs=self.blobs,
            sandbox=sandbox,
            commands=Commands(sandbox, limits, deadline, disk),
            layers=self.index,
            runtimes=Runtimes(base / "tools", uv),
            tools=Tools(base / "tools", uv),
            registries=read_registries(os.environ, Path.home()),
            source_limits=archive_limits(LIMIT),
            clock=self.clock,
        )
        self.heard = Heard()
        self._numbers = iter(range(1_000))

    @classmethod
    async def open(
        cls, home: Path, *, memory: int = 2048 * MIB, deadline: float = 120.0, disk: DiskWatch | None = None
    ) -> Site:
        await asyncio.to_thread(home.mkdir, mode=0o711, parents=True, exist_ok=True)
        return cls(home, await Sandbox.open(home), Limits(memory, 2000, 512, 4096 * MIB), deadline, disk)

    async def build(
        self,
        source: Path | Mapping[str, str],
        *,
        workspace: str = "wsp_1",
        variables: Mapping[str, str] | None = None,
        output: Output | None = None,
        **settings: Any,
    ) -> Artifact:
        """Uploads and builds a source: a folder, or texts by path."""
        self.heard = Heard()

        async def chunks() -> AsyncIterator[bytes]:
            yield archive_of(source)

        digest, _ = await self.archives.receive(chunks())
        build = Build(
            f"bld_{next(self._numbers)}", workspace, "prj_1", "svc_1", "env_1", "dep_1", "snp_1", BuildState.RUNNING,
            self.clock.now(),
        )  # fmt: skip
        job = Job(build, digest, Variables(variables or {}))
        try:
            plan = make_plan(await self.builder.fetch(job), PlanSettings(**settings))
            built = await self.builder.build(job, plan, output or self.heard)
            if plan.test is not None:
                await built.test(plan.test, self.heard)
            return await built.publish(self.heard)
        finally:
            await self.builder.clean(build.id)

    async def unpacked(self, artifact: Artifact, mount: str) -> Path:
        """A layer of an artifact as a folder."""
        layer = next(layer for layer in artifact.layers if layer.mount == mount)
        folder = self.home / "unpacked" / layer.digest.removeprefix("sha256:")
        if not folder.exists():
            await asyncio.to_thread(unpack, await self.blobs.path(layer.digest), folder, foreign_links=True)
        return folder


def archive_of(source: Path | Mapping[str, str]) -> bytes:
    """The source as the CLI sends it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        if isinstance(source, Path):
            tar.add(source, arcname=".")
        else:
            for name, text in source.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                tar.addfile(info, io.BytesIO(text.encode()))
    return out.getvalue()

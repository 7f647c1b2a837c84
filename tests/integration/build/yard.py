"""Tables and files of build, and their collector, beside a deploy that does as it is told."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from libs.blobs.directory import DirectoryBlobs
from libs.db import Database
from libs.kernel.errors import Unavailable
from libs.kernel.ids import new_id
from libs.kernel.units import GIB
from libs.runtime.clock import SystemClock
from libs.testing.clock import VirtualClock
from libs.testing.faults import Faulty, Plan
from services.build.adapters.blobs import SweptBlobs
from services.build.adapters.caches import ToolCaches
from services.build.app.collect import Collector, Window
from services.build.app.keeping import DiskUse, Needed
from services.build.app.ports import Lease
from services.build.domain.model import Artifact, Build, BuildState, Layer, LogLine, Snapshot
from services.build.loops.collect import CollectLoop
from services.build.store.artifacts import PostgresArtifacts, PostgresDependencyLayers, PostgresSnapshots
from services.build.store.builds import PostgresBuilds
from services.build.store.garbage import PostgresCollections, PostgresGarbage
from services.build.store.log import PostgresLog

DAY = 86_400.0
TABLES = ("builds", "build_logs", "artifacts", "snapshots", "dependency_layers", "retired_services")


class ToldDeploy:
    """Deploy, with what it is told to need."""

    def __init__(self) -> None:
        self.needs: list[Needed] = []
        self.away = False
        self.asked: list[tuple[int, datetime]] = []

    async def needed(self, keep_count: int, since: datetime) -> list[Needed]:
        self.asked.append((keep_count, since))
        if self.away:
            raise Unavailable("Deploy does not answer.")
        return self.needs


class ToldDisk:
    """A disk as full as it is told."""

    def __init__(self) -> None:
        self.now = DiskUse(100 * GIB, 90 * GIB)

    async def use(self) -> DiskUse:
        return self.now


class Yard:
    """Build's tables and files, and their collector."""

    def __init__(self, db: Database, home: Path, *, plan: Plan | None = None, **window: int) -> None:
        def faulty(target: Any) -> Any:
            return Faulty(target, plan) if plan else target

        self.db, self.home = db, home
        # Files have the machine's time.
        self.clock = VirtualClock(SystemClock().now())
        self.builds, self.log, self.snapshots = PostgresBuilds(db), PostgresLog(db), PostgresSnapshots(db)
        self.artifacts, self.layers = PostgresArtifacts(db), PostgresDependencyLayers(db)
        self.stored = DirectoryBlobs(home / "blobs")
        self.blobs = SweptBlobs(self.stored, home / "build" / "blobs.lock", self.clock)
        self.deploy, self.garbage = ToldDeploy(), PostgresGarbage(db)
        self.caches = ToolCaches(home / "build" / "cache", home / "build" / "incoming", self.clock)
        self.disk = ToldDisk()
        self.reports = PostgresCollections(db)
        self.collector = Collector(
            work=db.tx,
            reports=faulty(self.reports),
            disk=self.disk,
            garbage=faulty(self.garbage),
            deployments=faulty(self.deploy),
            blobs=faulty(self.blobs),
            caches=faulty(self.caches),
            clock=self.clock,
            window=Window(**window),
        )
        self.loop = CollectLoop(self.collector, period=600)

    async def queue(self, service: str = "svc_1", source: str = "source") -> Build:
        blob = await self.blobs.put_bytes(source.encode())
        now = self.clock.now()
        snapshot = Snapshot(new_id("snapshot", self.clock), "wsp_1", service, blob.digest, blob.size, now)
        await self.snapshots.add(snapshot, "prj_1")
        build = Build(
            new_id("build", self.clock), "wsp_1", "prj_1", service, "env_1", new_id("deployment", self.clock),
            snapshot.id, BuildState.QUEUED, now,
        )  # fmt: skip
        await self.builds.add(build)
        return build

    async def succeed(self, build: Build, artifact: Artifact) -> None:
        """Ends a queued build with an artifact."""
        now = self.clock.now()
        await self.builds.claim(build.id, "run_1", now, now + timedelta(seconds=8))
        await self.blobs.put_bytes(artifact.canonical())
        lease = Lease(build.id, "run_1", 1)
        await self.builds.finish(lease, BuildState.SUCCEEDED, now, artifact_digest=artifact.digest)
        await self.artifacts.add(artifact, "wsp_1", now)

    async def build(self, content: str, service: str = "svc_1", *, failed: bool = False) -> str:
        """A build that has ended; gives its artifact's digest."""
        build, now = await self.queue(service, f"source of {content}"), self.clock.now()
        await self.builds.claim(build.id, "run_1", now, now + timedelta(seconds=8))
        lease = Lease(build.id, "run_1", 1)
        await self.log.append(lease, [LogLine(1, now, "build", "stdout", "working")])
        if failed:
            await self.builds.finish(lease, BuildState.FAILED, now, reason="no")
            return ""
        app = await self.blobs.put_bytes(f"app of {content}".encode())
        layer = Layer(app.digest, "/app", writable=True, size_bytes=app.size)
        artifact = Artifact((layer,), "serve", "/app", "web", "python")
        await self.blobs.put_bytes(artifact.canonical())
        await self.builds.finish(lease, BuildState.SUCCEEDED, now, artifact_digest=artifact.digest)
        await self.artifacts.add(artifact, "wsp_1", now)
        return artifact.digest

    async def held(self) -> set[str]:
        """Blobs by their content."""
        blobs = await self.stored.list()
        texts = {(await self.stored.path(blob.digest)).read_text() for blob in blobs}
        return {text for text in texts if not text.startswith("{")}

    async def counts(self, *tables: str) -> list[int]:
        return [await self.db.fetchval(f"select count(*) from {table}") for table in tables]  # noqa: S608 - names above

    def cache(self, workspace: str, tool: str, size: int, used: datetime) -> Path:
        folder = self.home / "build" / "cache" / workspace / tool
        (folder / "deep").mkdir(parents=True)
        (folder / "deep" / "file").write_bytes(bytes(size))
        os.utime(folder, (used.timestamp(), used.timestamp()))
        return folder

"""Takes source archives in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.kernel.errors import Invalid, NotFound
from libs.kernel.ids import is_id, new_id
from services.build.app.ports import Archives, Facts, Projects, Snapshots, Work
from services.build.domain.facts import SnapshotStored
from services.build.domain.model import Snapshot


@dataclass(frozen=True, slots=True)
class Uploads:
    """Use cases around snapshots."""

    work: Work
    facts: Facts
    snapshots: Snapshots
    archives: Archives
    projects: Projects
    clock: Clock

    async def upload(self, ctx: Ctx, service_id: str, chunks: AsyncIterator[bytes]) -> Snapshot:
        """Stores the archive as a snapshot of the service, after it was checked.

        NotFound for a service that is not the caller's, Exhausted for one too large, Invalid for a bad archive.
        """
        if not is_id(service_id, "service"):
            raise Invalid(
                f"“{service_id}” is no service id." if service_id else "The first message must carry the service id.",
                field="service_id",
            )
        service = await self.projects.service(ctx, service_id)
        ctx.allow(service.workspace_id, service.project_id, what=f"Service {service_id}")
        digest, size = await self.archives.receive(chunks)
        snapshot = Snapshot(
            id=new_id("snapshot", self.clock),
            workspace_id=service.workspace_id,
            service_id=service.id,
            digest=digest,
            size_bytes=size,
            created_at=self.clock.now(),
        )
        async with self.work():
            await self.snapshots.add(snapshot, service.project_id)
            await self.facts.record(SnapshotStored(snapshot.id, snapshot.workspace_id, snapshot.service_id, digest))
        return snapshot

    async def get(self, ctx: Ctx, snapshot_id: str) -> Snapshot:
        """One snapshot. NotFound when it is not the caller's."""
        found = await self.snapshots.get(snapshot_id, ctx.workspaces)
        what = f"Snapshot {snapshot_id}"
        if found is None:
            raise NotFound(f"{what} does not exist, or is not yours to see.")
        snapshot, project_id = found
        ctx.allow(snapshot.workspace_id, project_id, what=what)
        return snapshot

"""Build and deploy as the gateway meets them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from libs.kernel.context import Ctx
from libs.kernel.errors import Conflict, Exhausted, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc, upkeep_pb2, upkeep_pb2_grpc
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.protogen.lightrail.project.v1 import project_pb2
from tests.integration.gateway.world import (
    LARGEST_UPLOAD,
    MANIFEST,
    STATES,
    World,
    seen,
    start_of,
)


class Upkeep(upkeep_pb2_grpc.BuildUpkeepServiceServicer):
    """One tool's downloads, and a service's dependencies."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.busy: list[str] = []

    def kept(self, workspace_id: str) -> list[upkeep_pb2.Cache]:
        mine = [one for one in self.world.services.values() if one.workspace_id == workspace_id]
        found = [upkeep_pb2.Cache(kind="tool", name="uv", size_bytes=3 * 1024 * 1024)]
        found += [
            upkeep_pb2.Cache(kind="dependencies", name="/app/.venv", size_bytes=7, service_id=one.id) for one in mine
        ]
        for one in found:
            one.used_at.FromDatetime(self.world.now())
        return found

    async def ListCaches(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "ListCaches")
        workspace = ctx.only_workspace(request.workspace_id)
        found = [one for one in self.kept(workspace) if request.service_id in ("", one.service_id)]
        return upkeep_pb2.ListCachesResponse(caches=found)

    async def ClearCaches(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "ClearCaches")
        found = self.kept(ctx.only_workspace(request.workspace_id))
        found = [one for one in found if request.service_id in ("", one.service_id)]
        found = [one for one in found if request.tool in ("", one.name)]
        gone = [one for one in found if one.name not in self.busy]
        size = sum(one.size_bytes for one in gone)
        return upkeep_pb2.ClearCachesResponse(count=len(gone), bytes=size, busy=self.busy)

    async def Collect(self, request: Any, context: Any) -> Any:
        seen(self.world, "Collect")
        return upkeep_pb2.CollectResponse(collection=self.collection(dry_run=request.dry_run))

    async def GetCollection(self, request: Any, context: Any) -> Any:
        seen(self.world, "GetCollection")
        return upkeep_pb2.GetCollectionResponse(collection=self.collection(dry_run=False))

    def collection(self, *, dry_run: bool) -> upkeep_pb2.Collection:
        blobs = upkeep_pb2.Collected(what="blobs", count=2, bytes=5 * 1024 * 1024, why="nothing is made of them")
        made = upkeep_pb2.Collection(
            dry_run=dry_run, pressed=True, disk_total_bytes=100, disk_free_bytes=7, items=[blobs]
        )
        made.at.FromDatetime(self.world.now())
        return made


class Build(build_pb2_grpc.BuildServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def UploadSnapshot(self, request_iterator: Any, context: Any) -> Any:
        ctx = seen(self.world, "UploadSnapshot")
        await self.world.hold("UploadSnapshot")
        content, service_id, largest = bytearray(), "", 0
        async for message in request_iterator:
            if message.service_id:
                service_id = message.service_id
                service = self.world.services.get(service_id)
                ctx.allow(service.workspace_id if service else "", what=f"Service {service_id}")
            content += message.chunk
            largest = max(largest, len(message.chunk))
            if len(content) > LARGEST_UPLOAD:
                raise Exhausted("The upload is larger than 8 MiB.", hint="Leave something out.")
        try:
            gzip.decompress(content)
        except (OSError, EOFError) as error:
            # Also an upload that broke off: to this side it only looks like its end.
            raise Invalid("This is no whole tar archive.", field="snapshot") from error
        assert largest <= 512 * 1024, "held more than a piece"
        made = build_pb2.Snapshot(id=new_id("snapshot", self.world.clock), service_id=service_id)
        made.workspace_id = self.world.services[service_id].workspace_id
        made.digest, made.size_bytes = f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)
        made.created_at.FromDatetime(self.world.now())
        self.world.snapshots[made.id] = bytes(content)
        return build_pb2.UploadSnapshotResponse(snapshot=made)

    async def StreamBuildLog(self, request: Any, context: Any) -> AsyncIterator[Any]:
        seen(self.world, "StreamBuildLog")
        key = request.deployment_id
        if key not in self.world.build_lines:
            raise NotFound("There is no build of this deployment.")
        number = request.after or max(0, len(self.world.build_lines[key]) - request.tail) * (request.tail > 0)
        while True:
            lines = self.world.build_lines[key][number:]
            for text in lines:
                number += 1
                line = build_pb2.LogLine(number=number, step="install", stream="stdout", text=text)
                line.time.FromDatetime(self.world.now())
                yield build_pb2.StreamBuildLogResponse(lines=[line])
            if not request.follow or key not in self.world.building:
                return
            async with self.world.changed:
                await self.world.changed.wait()

    async def GetSnapshot(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")

    def build(self, deployment_id: str) -> build_pb2.Build:
        found = self.world.deployments[deployment_id]
        made = build_pb2.Build(
            id=found.id.replace("dep_", "bld_"), deployment_id=found.id, workspace_id=found.workspace_id,
            service_id=found.service_id, state=build_pb2.BUILD_STATE_FAILED, reason="The step test failed.",
            waiting="waiting for memory: needs 2 GiB, 700 MiB are free",
            artifact_digest=f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}",
        )  # fmt: skip
        made.created_at.CopyFrom(found.created_at)
        ended = build_pb2.Stage(name="test", state=build_pb2.STAGE_STATE_FAILED, detail="The step test failed.")
        began = found.created_at.ToDatetime()
        ended.started_at.FromDatetime(began)
        ended.finished_at.FromDatetime(began + timedelta(seconds=1.5))
        made.stages.extend([ended, build_pb2.Stage(name="publish", state=build_pb2.STAGE_STATE_SKIPPED)])
        return made

    async def GetBuild(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "GetBuild")
        found = self.world.deployments.get(request.build_id.replace("bld_", "dep_"))
        ctx.allow(found.workspace_id if found else "", what=f"Build {request.build_id}")
        return build_pb2.GetBuildResponse(build=self.build(request.build_id.replace("bld_", "dep_")))

    async def ListBuilds(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "ListBuilds")
        mine = [key for key in request.deployment_ids if key in self.world.build_lines]
        mine = [key for key in mine if self.world.deployments[key].workspace_id in ctx.actor.roles]
        return build_pb2.ListBuildsResponse(builds=[self.build(key) for key in mine])

    async def GetProvenance(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "GetProvenance")
        digest = f"sha256:{hashlib.sha256(MANIFEST).hexdigest()}"
        if request.artifact_digest not in ("", digest):
            raise NotFound("There is no such artifact.")
        build_id = request.build_id or next(iter(self.world.deployments)).replace("dep_", "bld_")
        found = self.world.deployments.get(build_id.replace("bld_", "dep_"))
        ctx.allow(found.workspace_id if found else "", what="The build")
        return build_pb2.GetProvenanceResponse(
            build_id=build_id, artifact_digest=digest, manifest=self.world.manifest, envelope=self.world.envelope
        )

    async def GetProvenanceKey(self, request: Any, context: Any) -> Any:
        seen(self.world, "GetProvenanceKey")
        return build_pb2.GetProvenanceKeyResponse(pem=self.world.provenance_key.public.pem)

    def scanned(self, ctx: Ctx, build_id: str) -> None:
        found = self.world.deployments.get(build_id.replace("bld_", "dep_"))
        ctx.allow(found.workspace_id if found else "", what=f"Build {build_id}")
        if found and found.id not in self.world.build_lines:
            raise NotFound(f"The source of build {build_id} is not scanned yet.")

    async def GetScan(self, request: Any, context: Any) -> Any:
        self.scanned(seen(self.world, "GetScan"), request.build_id)
        done, missing = build_pb2.ScanPart(state="done", by="lock files"), build_pb2.ScanPart(state="not_scanned")
        missing.why = "this platform has no vulnerability scanner (Trivy)"
        scan = build_pb2.Scan(
            policy="block", severity="high", policy_from="project", sbom=done, sbom_digest="sha256:0", packages=1,
            secrets=build_pb2.ScanPart(state="done"), files=7, vulnerabilities=missing, summary="a summary",
            blocked="The scan policy blocks this.",
        )  # fmt: skip
        scan.secret_findings.add(path="src/a.py", line=3, rule="jwt", title="JSON web token", severity="medium")
        scan.vulnerability_findings.add(id="CVE-1", package="flask", version="3", severity="high", fixed="4")
        return build_pb2.GetScanResponse(scan=scan)

    async def DownloadSbom(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.scanned(seen(self.world, "DownloadSbom"), request.build_id)
        for piece in (b'{"bomFormat": ', b'"CycloneDX"}\n'):
            yield build_pb2.DownloadSbomResponse(chunk=piece)

    async def CancelBuild(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")

    async def GetArtifact(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")


class Deploy(deploy_pb2_grpc.DeploymentServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def deployment(self, ctx: Ctx, deployment_id: str) -> deploy_pb2.Deployment:
        found = self.world.deployments.get(deployment_id)
        ctx.allow(found.workspace_id if found else "", what=f"Deployment {deployment_id}")
        assert found
        return found

    def make(self, service: project_pb2.Service, trigger: str, **more: Any) -> deploy_pb2.Deployment:
        made = deploy_pb2.Deployment(
            id=new_id("deployment", self.world.clock),
            workspace_id=service.workspace_id,
            project_id=service.project_id,
            environment_id=service.environment_id,
            service_id=service.id,
            service_name=service.name,
            state=STATES.DEPLOYMENT_STATE_QUEUED,
            trigger=trigger,
            replicas=1,
            url=f"http://{service.public_domain}:8080",
            **more,
        )
        made.created_at.FromDatetime(self.world.now())
        made.updated_at.FromDatetime(self.world.now())
        self.world.deployments[made.id] = made
        return made

    async def CreateDeployment(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "CreateDeployment")
        service = self.world.services.get(request.service_id)
        ctx.allow(service.workspace_id if service else "", what=f"Service {request.service_id}")
        assert service
        if request.image_url:
            raise Conflict(
                "Image deployments need the docker runtime, which this platform does not have.",
                hint="Deploy a snapshot of the source instead.",
            )
        if request.idempotency_key in self.world.keys:
            known = self.world.deployments[self.world.keys[request.idempotency_key]]
            return deploy_pb2.CreateDeploymentResponse(deployment=known)
        made = self.make(service, "upload", snapshot_id=request.snapshot_id, resources=request.resources)
        if request.idempotency_key:
            self.world.keys[request.idempotency_key] = made.id
        await self.world.tell()
        await self.world.hold("CreateDeployment")
        return deploy_pb2.CreateDeploymentResponse(deployment=made)

    async def GetDeployment(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "GetDeployment")
        return deploy_pb2.GetDeploymentResponse(deployment=self.deployment(ctx, request.deployment_id))

    async def ListDeployments(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "ListDeployments")
        rows = [
            row
            for row in reversed(self.world.deployments.values())
            if row.workspace_id in ctx.actor.roles
            and request.service_id in ("", row.service_id)
            and request.project_id in ("", row.project_id)
        ]
        start = start_of(request.page.cursor)
        end = start + (request.page.limit or 50)
        cursor = str(end) if len(rows) > end else ""
        return deploy_pb2.ListDeploymentsResponse(deployments=rows[start:end], next_cursor=cursor)

    async def DeleteDeployment(self, request: Any, context: Any) -> Any:
        found = self.deployment(seen(self.world, "DeleteDeployment"), request.deployment_id)
        found.state = STATES.DEPLOYMENT_STATE_REMOVING
        return deploy_pb2.DeleteDeploymentResponse(deployment=found)

    async def Redeploy(self, request: Any, context: Any) -> Any:
        found = self.deployment(seen(self.world, "Redeploy"), request.deployment_id)
        made = self.make(self.world.services[found.service_id], "redeploy", origin_id=found.id)
        await self.world.tell()
        await self.world.hold("Redeploy")
        return deploy_pb2.RedeployResponse(deployment=made)

    async def Rollback(self, request: Any, context: Any) -> Any:
        found = self.deployment(seen(self.world, "Rollback"), request.deployment_id)
        made = self.make(self.world.services[found.service_id], "rollback", origin_id=found.id)
        await self.world.tell()
        await self.world.hold("Rollback")
        return deploy_pb2.RollbackResponse(deployment=made)

    async def StreamLogs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        seen(self.world, "StreamLogs")
        after = request.after
        matching = [row for row in self.world.log_lines if request.deployment_id in ("", row.deployment_id)]
        first = matching[-request.tail :] if request.tail else [row for row in matching if row.cursor > after]
        for line in first:
            yield deploy_pb2.StreamLogsResponse(lines=[line])
            after = line.cursor
        while request.follow:
            async with self.world.changed:
                await self.world.changed.wait()
            for line in [row for row in self.world.log_lines if row.cursor > after]:
                yield deploy_pb2.StreamLogsResponse(lines=[line])
                after = line.cursor

    async def SampleInstances(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")

    async def ListArtifactsInUse(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")

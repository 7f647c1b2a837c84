"""The whole service as the runtime opens it, between a project service and a deploy that do as they are told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest_asyncio

from libs.attest.artifact import verify
from libs.attest.keys import PublicKey
from libs.bus import MemoryBus
from libs.db import Database
from libs.facts import NewFact, Outbox, Relay
from libs.facts.servicer import servicer as facts_servicer
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.ids import new_id
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.protogen.lightrail.deploy.v1 import events_pb2
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc
from libs.rpc import Identity, Peer, Server
from libs.runtime import Host
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.build.main import MODULE
from tests.integration.build.keys import provenance_key
from tests.integration.build.sites import EXAMPLES, archive_of
from tests.integration.build.world import MIGRATIONS

REQUESTED = "lightrail.deploy.deployment.requested.v1"


class ToldProject(project_pb2_grpc.ProjectServiceServicer):
    """One service, one secret."""

    async def GetService(self, request: Any, context: Any) -> project_pb2.GetServiceResponse:
        service = project_pb2.Service(id=request.service_id, workspace_id="wsp_1", project_id="prj_1")
        service.settings.build_command = "echo the key is $KEY > built.txt && cat built.txt"
        return project_pb2.GetServiceResponse(service=service)

    async def GetProject(self, request: Any, context: Any) -> project_pb2.GetProjectResponse:
        project = project_pb2.Project(id=request.project_id, scan_policy="warn", scan_severity="high")
        return project_pb2.GetProjectResponse(project=project)

    async def RenderVariables(self, request: Any, context: Any) -> project_pb2.RenderVariablesResponse:
        return project_pb2.RenderVariablesResponse(values={"KEY": "hunter2-hunter2"}, secret_names=["KEY"])


@dataclass
class Running:
    """Build, running."""

    peer: Peer
    outbox: Outbox
    deploy: Database
    stub: Any = field(init=False)
    ctx: Ctx = field(default_factory=lambda: Ctx(Actor("user", "usr_1", {"wsp_1": Role.OWNER}), Role.DEVELOPER))

    def __post_init__(self) -> None:
        self.stub = build_pb2_grpc.BuildServiceStub(self.peer.channel)

    async def upload(self, source: Path, service_id: str) -> str:
        async def requests() -> AsyncIterator[build_pb2.UploadSnapshotRequest]:
            yield build_pb2.UploadSnapshotRequest(service_id=service_id)
            yield build_pb2.UploadSnapshotRequest(chunk=archive_of(source))

        answer = await self.peer.upload(self.stub.UploadSnapshot, requests(), self.ctx, timeout=20)
        return str(answer.snapshot.id)

    async def request(self, snapshot_id: str, service_id: str, deployment_id: str) -> None:
        message = events_pb2.DeploymentRequested(
            deployment_id=deployment_id,
            service_id=service_id,
            environment_id="env_1",
            project_id="prj_1",
            workspace_id="wsp_1",
            snapshot_id=snapshot_id,
        )
        async with self.deploy.tx():
            await self.outbox.record(NewFact(REQUESTED, "wsp_1", deployment_id, message.SerializeToString()))

    async def build(self, deployment_id: str) -> build_pb2.Build:
        request = build_pb2.GetBuildRequest(deployment_id=deployment_id)
        answer = await self.peer.call(self.stub.GetBuild, request, self.ctx)
        return answer.build  # type: ignore[no-any-return]


@pytest_asyncio.fixture
async def running(
    open_db: Callable[..., Any], identity: Identity, open_folder: Path, postgres_dsn: Any
) -> AsyncIterator[Running]:
    clock, bus = SystemClock(), MemoryBus()
    build_db, deploy_db = await open_db("build", MIGRATIONS), await open_db("deploy", open_folder)
    outbox = Outbox(deploy_db, "deploy", clock)

    async def nobody(_credential: str, _method: str) -> Actor:
        raise AssertionError("no tokens here")

    async with AsyncExitStack() as stack:

        async def serve(*servicers: Any) -> Server:
            server = Server("127.0.0.1:0", servicers, identity=identity, exchange=nobody, clock=clock)
            await server.start()
            stack.push_async_callback(server.stop, 0)
            return server

        told = ToldProject()  # type: ignore[abstract]  # build calls these two only
        project = await serve((project_pb2_grpc.add_ProjectServiceServicer_to_server, told))
        deploy = await serve(facts_servicer(deploy_db, outbox, {}))
        name = await build_db.fetchval("select current_database()")
        home = open_folder / f"home-{name}"
        home.mkdir(mode=0o711)
        environ = {
            "LIGHTRAIL_HOME": str(home),
            "LIGHTRAIL_PROVENANCE_KEY_FILE": str(provenance_key(home)),
            "LIGHTRAIL_PROJECT_ADDRESS": f"127.0.0.1:{project.port}",
            "LIGHTRAIL_DEPLOY_ADDRESS": f"127.0.0.1:{deploy.port}",
            "LIGHTRAIL_BUILD_DATABASE_URL": f"{postgres_dsn.reveal().rpartition('/')[0]}/{name}",
        }
        host = Host("build", environ, clock, identity, bus)
        stack.push_async_callback(host.close)
        opened = await stack.enter_async_context(MODULE.open(host))
        more, loops = host.facts(opened)
        server = await serve(*opened.servicers, *more)
        tasks = [
            asyncio.ensure_future(loop()) for loop in (*opened.loops, *loops, Relay(deploy_db, outbox, bus, clock).run)
        ]
        peer = Peer(f"127.0.0.1:{server.port}", identity, clock)
        stack.push_async_callback(peer.close)
        yield Running(peer, outbox, deploy_db)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_requested_deployment_is_built_and_its_log_hides_the_secret(running: Running) -> None:
    clock = SystemClock()
    service, deployment = new_id("service", clock), new_id("deployment", clock)
    snapshot = await running.upload(EXAMPLES / "worker-python", service)
    await running.request(snapshot, service, deployment)

    async def built() -> build_pb2.Build:
        build = await running.build(deployment)
        assert build.state == build_pb2.BUILD_STATE_SUCCEEDED, build
        return build

    async def asked() -> bool:
        try:
            return bool((await running.build(deployment)).id)
        except Exception as error:
            raise AssertionError(str(error)) from error

    await eventually(asked, within=10)
    build = await eventually(built, within=30)
    asked_for = build_pb2.GetScanRequest(deployment_id=deployment)
    scan = (await running.peer.call(running.stub.GetScan, asked_for, running.ctx)).scan
    assert (scan.policy, scan.sbom.state, scan.secrets.state) == ("warn", "done", "done")
    assert scan.files > 0
    assert "clean" not in scan.summary
    pieces = running.peer.stream(
        running.stub.DownloadSbom, build_pb2.DownloadSbomRequest(build_id=build.id), running.ctx
    )
    bill = b"".join([piece.chunk async for piece in pieces])
    assert json.loads(bill)["bomFormat"] == "CycloneDX"
    assert b"hunter2" not in bill
    asking = build_pb2.StreamBuildLogRequest(build_id=build.id, follow=True)
    pages = [page async for page in running.peer.stream(running.stub.StreamBuildLog, asking, running.ctx)]
    texts = [line.text for page in pages for line in page.lines]
    assert "the key is •••" in texts
    assert not any("hunter2" in text for text in texts)
    assert build.artifact_digest in texts[-1]
    shown = await running.peer.call(
        running.stub.GetProvenance, build_pb2.GetProvenanceRequest(build_id=build.id), running.ctx
    )
    key = await running.peer.call(running.stub.GetProvenanceKey, build_pb2.GetProvenanceKeyRequest(), running.ctx)
    told = verify(build.artifact_digest, shown.manifest, shown.envelope, PublicKey.parse(key.pem.encode(), "it"))
    made = told["predicate"]["buildDefinition"]["externalParameters"]
    assert made["variables"] == ["KEY"]
    assert "$KEY" in made["plan"]["steps"][-1]["commands"][0][2]
    assert "hunter2" not in json.dumps(told)
    assert build.provider == "python"

from __future__ import annotations

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from libs.attest.artifact import verify
from libs.attest.keys import PublicKey
from libs.blobs.directory import DirectoryBlobs
from libs.db import Database
from libs.kernel.context import Actor, Ctx, Role, platform
from libs.kernel.errors import Denied, Exhausted, Failure, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.plans.plan import BuildPlan
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.rpc import Identity, Peer
from libs.rpc.server import Server
from libs.runtime.clock import SystemClock
from services.build.adapters.archives import CheckedArchives
from services.build.app.ports import Job, Output, ServiceRef
from services.build.app.uploads import Uploads
from services.build.domain.model import Build
from services.build.events.codec import encode
from services.build.rpc.servicer import BuildServicer
from services.build.store.artifacts import OutboxFacts
from tests.integration.build.world import World, running

LIMIT = 256 * 1024


def member(workspace: str, role: Role = Role.DEVELOPER, *, project_id: str = "", environment_id: str = "") -> Ctx:
    actor = Actor("user", "usr_1", {workspace: role}, project_id=project_id, environment_id=environment_id)
    return Ctx(actor, role)


def archive(*entries: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for info, content in entries:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def file(name: str, content: bytes = b"print(1)\n", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


class Caller:
    """A client of build."""

    def __init__(self, peer: Peer, world: World) -> None:
        self.peer, self.world = peer, world
        self.stub = build_pb2_grpc.BuildServiceStub(peer.channel)

    async def upload(self, ctx: Ctx, service_id: str, data: bytes, piece: int = 64 * 1024) -> build_pb2.Snapshot:
        async def requests() -> AsyncIterator[build_pb2.UploadSnapshotRequest]:
            yield build_pb2.UploadSnapshotRequest(service_id=service_id)
            for start in range(0, len(data), piece):
                yield build_pb2.UploadSnapshotRequest(chunk=data[start : start + piece])

        answer = await self.peer.upload(self.stub.UploadSnapshot, requests(), ctx, timeout=20)
        return answer.snapshot  # type: ignore[no-any-return]

    async def log(
        self,
        ctx: Ctx,
        *,
        build_id: str = "",
        deployment_id: str = "",
        after: int = 0,
        tail: int = 0,
        follow: bool = False,
    ) -> list[build_pb2.LogLine]:
        asked = build_pb2.StreamBuildLogRequest(
            build_id=build_id, deployment_id=deployment_id, after=after, tail=tail, follow=follow
        )
        return [line async for page in self.peer.stream(self.stub.StreamBuildLog, asked, ctx) for line in page.lines]


@pytest_asyncio.fixture
async def caller(db: Database, tmp_path: Path, identity: Identity) -> AsyncIterator[Caller]:
    clock = SystemClock()
    world = World(db, clock)
    archives = CheckedArchives(DirectoryBlobs(tmp_path / "blobs"), tmp_path / "incoming", LIMIT)
    uploads = Uploads(db.tx, OutboxFacts(world.outbox, encode), world.snapshots, archives, world.projects, clock)

    async def nobody(_credential: str, _method: str) -> Actor:
        raise Denied("no tokens here", unauthenticated=True)

    add = build_pb2_grpc.add_BuildServiceServicer_to_server
    servicer = BuildServicer(uploads, world.desk, world.provenance)
    server = Server("127.0.0.1:0", [(add, servicer)], identity=identity, exchange=nobody, clock=clock)
    await server.start()
    peer = Peer(f"127.0.0.1:{server.port}", identity, clock)
    yield Caller(peer, world)
    await peer.close()
    await server.stop(0)


@pytest.fixture
def service(caller: Caller) -> ServiceRef:
    clock = caller.world.clock
    ref = ServiceRef(new_id("service", clock), new_id("workspace", clock), new_id("project", clock))
    caller.world.projects.services[ref.id] = ref
    return ref


async def test_a_source_archive_becomes_a_snapshot_and_says_so(caller: Caller, service: ServiceRef) -> None:
    ctx = member(service.workspace_id)
    snapshot = await caller.upload(ctx, service.id, archive(file("main.py"), file("a/b.txt")))
    got = await caller.peer.call(caller.stub.GetSnapshot, build_pb2.GetSnapshotRequest(snapshot_id=snapshot.id), ctx)
    assert got.snapshot == snapshot
    assert snapshot.digest.startswith("sha256:")
    await caller.world.outbox.number()
    facts = await caller.world.outbox.read(0)
    assert [fact.subject for fact in facts] == ["lightrail.build.snapshot.stored.v1"]


DEVICE = {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}
LINK = {"type": tarfile.SYMTYPE, "linkname": "../../etc/passwd"}


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([file("../evil", b"x")], "leaves"),
        ([file("/etc/evil", b"x")], "absolute"),
        ([file("ok", b"x"), file("evil", b"", **LINK)], "link"),
        ([file("ok", b"x"), file("evil", b"", **DEVICE)], "evil"),
        ([file("bomb", bytes(60 * 1024 * 1024))], "unpacks"),
        ([], "empty"),
        ([file("nothing", b"")], "empty"),
    ],
    ids=["dots", "absolute", "link", "device", "bomb", "empty", "empty-file"],
)
async def test_a_bad_archive_is_refused_with_a_sentence_and_not_kept(
    caller: Caller, service: ServiceRef, tmp_path: Path, entries: list[Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        await caller.upload(member(service.workspace_id), service.id, archive(*entries))
    assert list((tmp_path / "blobs" / "sha256").rglob("*/*")) == []
    assert list((tmp_path / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all, only words " * 40,
        archive(file("a"))[:-30],
        archive(file("a"), file("b"), mode="w:")[:1024],
    ],
    ids=["nothing", "words", "cut", "cut-between-files"],
)
async def test_what_is_no_archive_is_refused(caller: Caller, service: ServiceRef, data: bytes) -> None:
    with pytest.raises(Invalid):
        await caller.upload(member(service.workspace_id), service.id, data)


async def test_an_upload_over_the_limit_is_stopped_while_it_streams(caller: Caller, service: ServiceRef) -> None:
    with pytest.raises(Exhausted, match=r"256\.0 KiB"):
        await caller.upload(member(service.workspace_id), service.id, bytes(LIMIT + 1))


async def test_an_upload_needs_a_service_that_is_the_callers(caller: Caller, service: ServiceRef) -> None:
    data = archive(file("main.py"))
    with pytest.raises(NotFound):
        await caller.upload(member("wsp_other"), service.id, data)
    with pytest.raises(Denied):
        await caller.upload(member(service.workspace_id, Role.VIEWER), service.id, data)
    with pytest.raises(NotFound):
        await caller.upload(member(service.workspace_id, project_id="prj_other"), service.id, data)
    with pytest.raises(Invalid):
        await caller.upload(member(service.workspace_id), "", data)
    with pytest.raises(Invalid):
        await caller.upload(member(service.workspace_id), "svc_' or 1=1", data)


async def test_another_workspaces_things_do_not_exist(caller: Caller, service: ServiceRef) -> None:
    owner, stranger = member(service.workspace_id), member("wsp_other", Role.OWNER)
    snapshot = await caller.upload(owner, service.id, archive(file("main.py")))
    build = await caller.world.request(service.workspace_id)
    stub = caller.stub
    asked: list[tuple[Callable[..., Any], object]] = [
        (stub.GetSnapshot, build_pb2.GetSnapshotRequest(snapshot_id=snapshot.id)),
        (stub.GetBuild, build_pb2.GetBuildRequest(build_id=build.id)),
        (stub.GetBuild, build_pb2.GetBuildRequest(deployment_id=build.deployment_id)),
        (stub.CancelBuild, build_pb2.CancelBuildRequest(build_id=build.id)),
        (stub.CancelBuild, build_pb2.CancelBuildRequest(deployment_id=build.deployment_id)),
    ]
    for method, request in asked:
        with pytest.raises(NotFound):
            await caller.peer.call(method, request, stranger)
    with pytest.raises(NotFound):
        await caller.log(stranger, build_id=build.id)
    with pytest.raises(NotFound):
        await caller.log(stranger, deployment_id=build.deployment_id, follow=True)
    with pytest.raises(Denied):
        await caller.peer.call(stub.GetArtifact, build_pb2.GetArtifactRequest(digest="sha256:1"), stranger)
    other = await caller.world.request("wsp_other")
    asked_for = build_pb2.GetBuildRequest(build_id=build.id, deployment_id=other.deployment_id)
    with pytest.raises(NotFound):
        await caller.peer.call(stub.GetBuild, asked_for, owner)
    got = await caller.peer.call(stub.GetBuild, build_pb2.GetBuildRequest(build_id=build.id), owner)
    assert got.build.state == build_pb2.BUILD_STATE_QUEUED


async def test_a_list_is_of_deployments_that_are_all_the_callers(caller: Caller) -> None:
    first, second, other = [await caller.world.request(name) for name in ("wsp_1", "wsp_1", "wsp_other")]
    caller.world.deployments.unbuilt = {"dep_unbuilt": "wsp_1", "dep_strange": "wsp_other"}
    own = [first.deployment_id, second.deployment_id, "dep_unbuilt"]

    async def ask(ctx: Ctx, *ids: str) -> list[build_pb2.Build]:
        answer = await caller.peer.call(caller.stub.ListBuilds, build_pb2.ListBuildsRequest(deployment_ids=ids), ctx)
        return list(answer.builds)

    listed = await ask(member("wsp_1"), *own)
    assert {one.id for one in listed} == {first.id, second.id}
    assert [stage.state for stage in listed[0].stages] == [build_pb2.STAGE_STATE_PENDING] * 6
    for strange in (other.deployment_id, "dep_strange", "dep_that_never_was"):
        with pytest.raises(NotFound, match=strange):
            await ask(member("wsp_1"), *own, strange)
    with pytest.raises(NotFound):
        await ask(member("wsp_1", environment_id="env_2"), first.deployment_id)
    with pytest.raises(Invalid):
        await ask(member("wsp_1"), *(f"dep_{number}" for number in range(201)))


async def test_a_token_for_one_environment_sees_only_its_builds(caller: Caller) -> None:
    build = await caller.world.request("wsp_1")
    request = build_pb2.GetBuildRequest(build_id=build.id)
    await caller.peer.call(caller.stub.GetBuild, request, member("wsp_1", environment_id="env_1"))
    with pytest.raises(NotFound):
        await caller.peer.call(caller.stub.GetBuild, request, member("wsp_1", environment_id="env_2"))


async def test_who_joins_late_gets_the_whole_log_once_and_then_what_comes(caller: Caller) -> None:
    halfway, go_on = asyncio.Event(), asyncio.Event()

    async def script(_job: Job, _plan: BuildPlan, output: Output) -> None:
        for number in range(1500):
            await output.chunk("build", "stdout", b"before %d\n" % number)
        halfway.set()
        await go_on.wait()
        await output.chunk("build", "stderr", b"after\n")

    world = caller.world
    world.builder.script = script
    build = await world.request("wsp_1")
    async with running(world.drive()):
        await halfway.wait()
        lines: list[build_pb2.LogLine] = []
        asked = build_pb2.StreamBuildLogRequest(deployment_id=build.deployment_id, follow=True)
        async for page in caller.peer.stream(caller.stub.StreamBuildLog, asked, member("wsp_1")):
            lines.extend(page.lines)
            if any(line.text == "before 1499" for line in page.lines):
                go_on.set()
    assert [line.number for line in lines] == list(range(1, len(lines) + 1))
    texts = [line.text for line in lines]
    assert texts.index("before 0") < texts.index("before 1499") < texts.index("after")
    assert texts[-1].startswith("artifact sha256:")
    rest = await caller.log(member("wsp_1"), build_id=build.id, after=len(lines) - 1)
    assert [line.number for line in rest] == [len(lines)]
    for tail, after, first in ((2, 0, len(lines) - 1), (1, len(lines) - 2, len(lines) - 1), (9999, 0, 1), (-1, 0, 1)):
        shown = await caller.log(member("wsp_1"), build_id=build.id, tail=tail, after=after, follow=True)
        assert [line.number for line in shown] == list(range(first, len(lines) + 1))


async def test_a_cancelled_build_ends_its_log_stream(caller: Caller) -> None:
    build: Build = await caller.world.request("wsp_1")
    ctx = member("wsp_1")
    await caller.peer.call(caller.stub.CancelBuild, build_pb2.CancelBuildRequest(build_id=build.id), ctx)
    await caller.peer.call(caller.stub.CancelBuild, build_pb2.CancelBuildRequest(build_id=build.id), ctx)
    assert [line.text for line in await caller.log(ctx, build_id=build.id, follow=True)] == ["Cancelled."]


async def test_services_read_artifacts(caller: Caller) -> None:
    build = await caller.world.request()
    await caller.world.drive()
    digest = (await caller.world.now(build)).artifact_digest
    request = build_pb2.GetArtifactRequest(digest=digest)
    got = await caller.peer.call(caller.stub.GetArtifact, request, platform("deploy"))
    assert (got.artifact.digest, got.artifact.kind, got.artifact.layers[0].mount) == (digest, "web", "/app")
    verify(digest, got.manifest, got.provenance, caller.world.attestations.key.public)
    with pytest.raises(NotFound):
        await caller.peer.call(
            caller.stub.GetArtifact, build_pb2.GetArtifactRequest(digest="sha256:none"), platform("deploy")
        )


async def test_provenance_is_shown_to_those_who_may_see_the_build(caller: Caller) -> None:
    world, stub = caller.world, caller.stub
    mine, theirs = [await world.request(name) for name in ("wsp_1", "wsp_2")]
    await world.drive()
    failed = await world.request("wsp_1")
    world.builder.files = {"main.zig": ""}
    await world.drive()
    digest = (await world.now(mine)).artifact_digest
    assert digest == (await world.now(theirs)).artifact_digest
    key = await caller.peer.call(stub.GetProvenanceKey, build_pb2.GetProvenanceKeyRequest(), member("wsp_1"))
    for asked in ({"build_id": mine.id}, {"deployment_id": mine.deployment_id}, {"artifact_digest": digest}):
        got = await caller.peer.call(stub.GetProvenance, build_pb2.GetProvenanceRequest(**asked), member("wsp_1"))
        assert got.build_id == mine.id
        told = verify(digest, got.manifest, got.envelope, PublicKey.parse(key.pem.encode(), "it"))
        assert told["predicate"]["buildDefinition"]["internalParameters"]["workspace"] == "wsp_1"
    for wrong in ({"build_id": theirs.id}, {"artifact_digest": "sha256:" + "0" * 64}):
        with pytest.raises(NotFound):
            await caller.peer.call(stub.GetProvenance, build_pb2.GetProvenanceRequest(**wrong), member("wsp_1"))
    request = build_pb2.GetProvenanceRequest(artifact_digest=digest)
    with pytest.raises(NotFound):
        await caller.peer.call(stub.GetProvenance, request, member("wsp_3"))
    with pytest.raises(Invalid, match="has no artifact: it is in the state “failed”"):
        await caller.peer.call(stub.GetProvenance, build_pb2.GetProvenanceRequest(build_id=failed.id), member("wsp_1"))


async def test_neither_build_nor_deployment_is_a_sentence(caller: Caller) -> None:
    with pytest.raises(Failure, match="Name a build or a deployment"):
        await caller.peer.call(caller.stub.GetBuild, build_pb2.GetBuildRequest(), member("wsp_1"))

"""Nothing is started that build did not make: deploy's own look at an artifact, over gRPC."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from libs.attest.artifact import PREDICATE, STATEMENT
from libs.attest.dsse import IN_TOTO, seal
from libs.attest.keys import SigningKey
from libs.db import Database
from libs.kernel.context import Actor, platform
from libs.kernel.errors import Invalid
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.rpc import Identity, Peer, Server
from libs.runtime.clock import SystemClock
from services.deploy.adapters.build import GrpcBuilds
from services.deploy.domain.machine import State
from services.deploy.store import MIGRATIONS
from tests.integration.deploy.world import deploy, empty_world

LAYER = {"digest": "sha256:" + "1" * 64, "mount": "/app", "writable": True, "size_bytes": 10}
MANIFEST: dict[str, Any] = {
    "version": 1, "layers": [LAYER], "start_command": "serve", "working_directory": "/app", "kind": "worker",
    "provider": "python", "environment": {"A": "b"}, "host_paths": ["/usr"],
}  # fmt: skip


@dataclass
class ToldBuild(build_pb2_grpc.BuildServiceServicer):
    """Gives one artifact, as it is told."""

    key: SigningKey = field(default_factory=SigningKey.generate)
    manifest: bytes = json.dumps(MANIFEST).encode()
    envelope: bytes = b""

    @property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.manifest).hexdigest()}"

    def signed(self, key: SigningKey | None = None) -> None:
        subject = [{"name": "artifact", "digest": {"sha256": self.digest[7:]}}]
        told = {"_type": STATEMENT, "subject": subject, "predicateType": PREDICATE, "predicate": {}}
        self.envelope = seal(IN_TOTO, json.dumps(told).encode(), key or self.key)

    async def GetArtifact(self, request: Any, context: Any) -> build_pb2.GetArtifactResponse:
        # What stands beside the manifest is believed by nobody.
        beside = build_pb2.Artifact(digest=request.digest, start_command="rm -rf /", kind="web")
        return build_pb2.GetArtifactResponse(artifact=beside, manifest=self.manifest, provenance=self.envelope)


@dataclass
class Asking:
    build: ToldBuild
    builds: GrpcBuilds


@pytest_asyncio.fixture
async def asking(identity: Identity) -> AsyncIterator[Asking]:
    clock, told = SystemClock(), ToldBuild()  # type: ignore[abstract]  # deploy asks for artifacts only

    async def nobody(_credential: str, _method: str) -> Actor:
        raise AssertionError("no tokens here")

    add = build_pb2_grpc.add_BuildServiceServicer_to_server
    server = Server("127.0.0.1:0", [(add, told)], identity=identity, exchange=nobody, clock=clock)
    await server.start()
    peer = Peer(f"127.0.0.1:{server.port}", identity, clock)
    yield Asking(told, GrpcBuilds(peer, told.key.public))
    await peer.close()
    await server.stop(0)


async def test_a_signed_artifact_is_what_its_manifest_says(asking: Asking) -> None:
    asking.build.signed()
    found = await asking.builds.artifact(platform("deploy"), asking.build.digest)
    assert (found.digest, found.start_command, found.kind) == (asking.build.digest, "serve", "worker")
    assert [(layer.digest, layer.mount, layer.writable) for layer in found.layers] == [(LAYER["digest"], "/app", True)]
    assert (found.environment, found.host_paths) == ({"A": "b"}, ("/usr",))


async def test_an_artifact_that_is_not_signed_right_fails_its_deployment_before_anything_starts(
    asking: Asking, open_db: Callable[..., Awaitable[Database]]
) -> None:
    world = await empty_world(await open_db("deploy", MIGRATIONS))
    world.others.artifact = asking.builds.artifact  # type: ignore[method-assign]
    digest = asking.build.digest

    async def refused(sentence: str) -> None:
        made = await deploy(world, digest)
        assert made.state is State.FAILED
        assert digest in made.reason
        assert sentence in made.reason
        assert world.launches == []

    await refused("it has no provenance")
    asking.build.signed(SigningKey.generate())
    await refused("not signed with the platform's provenance key")
    asking.build.signed()
    asking.build.manifest = json.dumps(MANIFEST | {"start_command": "mine"}).encode()
    await refused("its digest is wrong")
    asking.build.signed()
    digest = asking.build.digest
    assert (await deploy(world, digest)).state is State.ACTIVE
    assert [launch.artifact.start_command for launch in world.launches] == ["mine"]


async def test_a_wrong_digest_is_said_with_what_to_do(asking: Asking) -> None:
    asking.build.signed()
    with pytest.raises(Invalid, match="Deploy the source again"):
        await asking.builds.artifact(platform("deploy"), "sha256:" + "0" * 64)

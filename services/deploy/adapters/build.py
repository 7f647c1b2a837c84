"""The build service, as deploy needs it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from libs.attest.artifact import verify
from libs.attest.keys import PublicKey
from libs.kernel.context import Ctx
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.rpc import Peer
from services.deploy.domain.instance import Artifact, Layer


class GrpcBuilds:
    """Asks build over gRPC, and believes of artifacts only what is signed with this key."""

    def __init__(self, peer: Peer, key: PublicKey) -> None:
        self._peer = peer
        self._key = key
        self._stub = build_pb2_grpc.BuildServiceStub(peer.channel)

    async def snapshot_service(self, ctx: Ctx, snapshot_id: str) -> str:
        """The service a snapshot was uploaded for; NotFound when it is not the caller's."""
        request = build_pb2.GetSnapshotRequest(snapshot_id=snapshot_id)
        return (await self._peer.call(self._stub.GetSnapshot, request, ctx)).snapshot.service_id

    async def artifact(self, ctx: Ctx, digest: str) -> Artifact:
        """What a runtime needs to start it; NotFound when it is gone, Invalid when its provenance is not right.

        It is read from the manifest that the signed statement speaks of, from nothing beside it.
        """
        request = build_pb2.GetArtifactRequest(digest=digest)
        answer = await self._peer.call(self._stub.GetArtifact, request, ctx)
        verify(digest, answer.manifest, answer.provenance, self._key)
        return _artifact(digest, json.loads(answer.manifest))


def _artifact(digest: str, manifest: Mapping[str, Any]) -> Artifact:
    return Artifact(
        digest=digest,
        layers=tuple(
            Layer(one["digest"], one["mount"], one["writable"], one["size_bytes"]) for one in manifest["layers"]
        ),
        start_command=manifest["start_command"],
        environment=manifest["environment"],
        working_directory=manifest["working_directory"],
        kind=manifest["kind"],
        host_paths=tuple(manifest["host_paths"]),
        provider=manifest["provider"],
        image=manifest.get("image", {}).get("reference", ""),
    )

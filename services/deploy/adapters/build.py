"""The build service, as deploy needs it."""

from __future__ import annotations

from libs.kernel.context import Ctx
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.rpc import Peer
from services.deploy.domain.instance import Artifact, Layer


class GrpcBuilds:
    """Asks build over gRPC."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = build_pb2_grpc.BuildServiceStub(peer.channel)

    async def snapshot_service(self, ctx: Ctx, snapshot_id: str) -> str:
        """The service a snapshot was uploaded for; NotFound when it is not the caller's."""
        request = build_pb2.GetSnapshotRequest(snapshot_id=snapshot_id)
        return (await self._peer.call(self._stub.GetSnapshot, request, ctx)).snapshot.service_id

    async def artifact(self, ctx: Ctx, digest: str) -> Artifact:
        """What a runtime needs to start it; NotFound when it is gone."""
        request = build_pb2.GetArtifactRequest(digest=digest)
        wire = (await self._peer.call(self._stub.GetArtifact, request, ctx)).artifact
        return Artifact(
            digest=wire.digest,
            layers=tuple(Layer(layer.digest, layer.mount, layer.writable, layer.size_bytes) for layer in wire.layers),
            start_command=wire.start_command,
            environment=dict(wire.environment),
            working_directory=wire.working_directory,
            kind=wire.kind,
            host_paths=tuple(wire.host_paths),
            provider=wire.provider,
        )

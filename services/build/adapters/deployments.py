"""What deploy knows, asked over gRPC."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from libs.kernel.context import Ctx, platform
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.rpc import Peer
from services.build.app.keeping import Needed

SECONDS: Final = 30.0


class PeerDeployments:
    """Calls deploy's gRPC server, as the platform or on behalf of a caller."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = deploy_pb2_grpc.DeploymentServiceStub(peer.channel)

    async def needed(self, keep_count: int, since: datetime) -> list[Needed]:
        """Everything that may still be started. Unavailable when deploy does not answer."""
        stamp = Timestamp()
        stamp.FromDatetime(since)
        request = deploy_pb2.ListArtifactsInUseRequest(keep_count=keep_count, since=stamp)
        answer = await self._peer.call(self._stub.ListArtifactsInUse, request, platform("build"), timeout=SECONDS)
        return [Needed(one.artifact_digest, one.snapshot_id, one.service_id, one.running) for one in answer.artifacts]

    async def check(self, ctx: Ctx, deployment_id: str) -> None:
        """Passes when the deployment is the caller's to see; NotFound otherwise."""
        request = deploy_pb2.GetDeploymentRequest(deployment_id=deployment_id)
        await self._peer.call(self._stub.GetDeployment, request, ctx)

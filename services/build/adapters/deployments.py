"""What deploy knows, asked over gRPC."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from libs.git.refs import branch_of
from libs.kernel.context import Ctx, platform
from libs.kernel.errors import NotFound
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.rpc import Peer
from services.build.app.keeping import Needed
from services.build.app.pushes import Standing
from services.build.domain.push import Push

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

    async def deploy(self, ctx: Ctx, push: Push) -> str:
        """Asks for a deployment on the caller's behalf and gives its id; the same push has one."""
        request = deploy_pb2.CreateDeploymentRequest(
            service_id=push.service_id,
            environment_id=push.environment_id,
            git=deploy_pb2.GitSource(ref=branch_of(push.ref), push=push.id),
            idempotency_key=push.id,
        )
        answer = await self._peer.call(self._stub.CreateDeployment, request, ctx, timeout=SECONDS)
        return str(answer.deployment.id)

    async def standing(self, deployment_id: str) -> Standing:
        """How it stands; the state “unknown” when there is none."""
        request = deploy_pb2.GetDeploymentRequest(deployment_id=deployment_id)
        try:
            found = (await self._peer.call(self._stub.GetDeployment, request, platform("build"))).deployment
        except NotFound:
            return Standing("unknown", "", "")
        name = deploy_pb2.DeploymentState.Name(found.state).removeprefix("DEPLOYMENT_STATE_").lower()
        return Standing(name, found.reason, found.url)

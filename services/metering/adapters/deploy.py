"""Deploy's counters of its instances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.kernel.context import Ctx
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.rpc import Peer
from services.metering.domain.model import InstanceReading, Place

PATIENCE_SECONDS: Final = 5.0


class DeployInstances:
    """Asks deploy.SampleInstances."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = deploy_pb2_grpc.DeploymentServiceStub(peer.channel)

    async def read(self, ctx: Ctx) -> Sequence[InstanceReading]:
        """Every run of every instance. Unavailable when deploy is away."""
        answer = await self._peer.call(
            self._stub.SampleInstances,
            deploy_pb2.SampleInstancesRequest(),
            ctx,
            timeout=PATIENCE_SECONDS,
        )
        return [
            InstanceReading(
                run_id=sample.run_id,
                place=Place(sample.workspace_id, sample.project_id, sample.environment_id, sample.service_id),
                cpu_microseconds=sample.cpu_microseconds,
                memory_bytes=sample.memory_bytes,
            )
            for sample in answer.samples
        ]

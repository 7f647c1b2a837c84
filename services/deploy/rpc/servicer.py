"""Each RPC: decode, one use case, encode."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC
from typing import Any

from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.rpc import current
from services.deploy.app.commands import Commands
from services.deploy.app.ports import Filter, LogQuery
from services.deploy.app.queries import Queries
from services.deploy.app.sampling import Sampling
from services.deploy.domain.model import Deployment
from services.deploy.rpc import codec

Context = Any


class DeploymentServicer(deploy_pb2_grpc.DeploymentServiceServicer):
    """DeploymentService; every change wakes the rollout of its pair."""

    def __init__(self, commands: Commands, queries: Queries, sampling: Sampling, wake: Callable[[str], None]) -> None:
        self._commands = commands
        self._queries = queries
        self._sampling = sampling
        self._wake = wake

    async def CreateDeployment(
        self, request: deploy_pb2.CreateDeploymentRequest, context: Context
    ) -> deploy_pb2.CreateDeploymentResponse:
        """Queues a deployment."""
        made = await self._commands.create(current(), codec.wanted(request))
        return deploy_pb2.CreateDeploymentResponse(deployment=self._woken(made))

    async def GetDeployment(
        self, request: deploy_pb2.GetDeploymentRequest, context: Context
    ) -> deploy_pb2.GetDeploymentResponse:
        """One deployment with its instances, also those that exited."""
        found, instances = await self._queries.get(current(), request.deployment_id)
        return deploy_pb2.GetDeploymentResponse(deployment=codec.deployment(found, instances))

    async def ListDeployments(
        self, request: deploy_pb2.ListDeploymentsRequest, context: Context
    ) -> deploy_pb2.ListDeploymentsResponse:
        """A page of deployments, newest first, with the instances they have now."""
        wanted = Filter(request.service_id, request.environment_id, request.project_id, request.page.cursor)
        found, cursor = await self._queries.find(current(), wanted, request.page.limit)
        return deploy_pb2.ListDeploymentsResponse(
            deployments=[codec.deployment(model, instances) for model, instances in found], next_cursor=cursor
        )

    async def DeleteDeployment(
        self, request: deploy_pb2.DeleteDeploymentRequest, context: Context
    ) -> deploy_pb2.DeleteDeploymentResponse:
        """Cancels or stops a deployment."""
        ended = await self._commands.delete(current(), request.deployment_id)
        return deploy_pb2.DeleteDeploymentResponse(deployment=self._woken(ended))

    async def Redeploy(self, request: deploy_pb2.RedeployRequest, context: Context) -> deploy_pb2.RedeployResponse:
        """Builds the same source again."""
        made = await self._commands.redeploy(current(), request.deployment_id)
        return deploy_pb2.RedeployResponse(deployment=self._woken(made))

    async def Rollback(self, request: deploy_pb2.RollbackRequest, context: Context) -> deploy_pb2.RollbackResponse:
        """Starts an older deployment's release again."""
        made = await self._commands.rollback(current(), request.deployment_id)
        return deploy_pb2.RollbackResponse(deployment=self._woken(made))

    async def StreamLogs(
        self, request: deploy_pb2.StreamLogsRequest, context: Context
    ) -> AsyncIterator[deploy_pb2.StreamLogsResponse]:
        """Lines in order, then what comes."""
        wanted = LogQuery(request.service_id, request.environment_id, request.deployment_id, request.after)
        async for batch in self._queries.log(current(), wanted, follow=request.follow, tail=request.tail):
            yield deploy_pb2.StreamLogsResponse(lines=[codec.log_line(record) for record in batch])

    async def SampleInstances(
        self, request: deploy_pb2.SampleInstancesRequest, context: Context
    ) -> deploy_pb2.SampleInstancesResponse:
        """Use of every running instance now."""
        response = deploy_pb2.SampleInstancesResponse()
        for sample in await self._sampling.now():
            response.samples.add(
                instance_id=sample.observed.instance_id,
                deployment_id=sample.deployment.id,
                service_id=sample.deployment.service_id,
                environment_id=sample.deployment.environment_id,
                project_id=sample.deployment.project_id,
                workspace_id=sample.deployment.workspace_id,
                cpu_microseconds=sample.observed.cpu_microseconds,
                memory_bytes=sample.observed.memory_bytes,
                run_id=sample.observed.run_id,
            )
        return response

    async def ListArtifactsInUse(
        self, request: deploy_pb2.ListArtifactsInUseRequest, context: Context
    ) -> deploy_pb2.ListArtifactsInUseResponse:
        """What build has to keep."""
        found = await self._queries.artifacts_in_use(request.keep_count, request.since.ToDatetime(tzinfo=UTC))
        return deploy_pb2.ListArtifactsInUseResponse(artifacts=[codec.artifact_in_use(one) for one in found])

    def _woken(self, model: Deployment) -> deploy_pb2.Deployment:
        self._wake(model.pair)
        return codec.deployment(model)


def servicer(
    commands: Commands, queries: Queries, sampling: Sampling, wake: Callable[[str], None]
) -> tuple[Callable[[DeploymentServicer, Any], None], DeploymentServicer]:
    """The servicer with the function that adds it to a server."""
    made = DeploymentServicer(commands, queries, sampling, wake)
    return deploy_pb2_grpc.add_DeploymentServiceServicer_to_server, made

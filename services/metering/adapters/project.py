"""The project service, which knows whom everything belongs to and who may see it."""

from __future__ import annotations

from typing import Final

from libs.kernel.context import Ctx
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc
from libs.rpc import Peer
from services.metering.domain.model import Place

PATIENCE_SECONDS: Final = 5.0


class ProjectOwners:
    """Asks project.GetService and project.GetProject on behalf of the caller."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = project_pb2_grpc.ProjectServiceStub(peer.channel)

    async def of_service(self, ctx: Ctx, service_id: str, environment_id: str) -> Place:
        """The service's place. NotFound when it is not the caller's to see."""
        request = project_pb2.GetServiceRequest(service_id=service_id, environment_id=environment_id)
        answer = await self._peer.call(self._stub.GetService, request, ctx, timeout=PATIENCE_SECONDS)
        service = answer.service
        return Place(service.workspace_id, service.project_id, service.environment_id, service.id)

    async def workspace_of(self, ctx: Ctx, project_id: str) -> str:
        """The project's workspace. NotFound when it is not the caller's to see."""
        request = project_pb2.GetProjectRequest(project_id=project_id)
        answer = await self._peer.call(self._stub.GetProject, request, ctx, timeout=PATIENCE_SECONDS)
        return answer.project.workspace_id

"""The project service, as auth needs it."""

from __future__ import annotations

from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc
from libs.rpc import Peer
from services.auth.domain.model import Scope

PATIENCE_SECONDS: Final = 5.0


class GrpcProjects:
    """Asks project.GetProject on behalf of the caller."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = project_pb2_grpc.ProjectServiceStub(peer.channel)

    async def check(self, ctx: Ctx, scope: Scope) -> None:
        """Passes when the scope's project and environment are the caller's, in its workspace; NotFound otherwise."""
        request = project_pb2.GetProjectRequest(project_id=scope.project_id)
        found = (await self._peer.call(self._stub.GetProject, request, ctx, timeout=PATIENCE_SECONDS)).project
        if found.workspace_id != scope.workspace_id:
            raise _missing("Project", scope.project_id)
        if scope.environment_id and scope.environment_id not in {each.id for each in found.environments}:
            raise _missing("Environment", scope.environment_id)


def _missing(kind: str, given: str) -> NotFound:
    return NotFound(f"{kind} {given} does not exist, or is not yours to see.", field=f"{kind.lower()}_id")

"""Host names, asked from the router."""

from __future__ import annotations

from typing import Final

from libs.kernel.context import platform
from libs.protogen.lightrail.router.v1 import router_pb2, router_pb2_grpc
from libs.rpc import Peer
from services.project.domain.model import Setup

TIMEOUT_SECONDS: Final = 1.0


class RouterHostNames:
    """Claims names at the router, which gives the same one every time."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._stub = router_pb2_grpc.RouterServiceStub(peer.channel)

    async def claim(self, setup: Setup) -> str:
        """The host name of a service in an environment; Unavailable while the router is away."""
        request = router_pb2.ClaimNameRequest(
            service_id=setup.service.id,
            environment_id=setup.environment.id,
            workspace_id=setup.service.workspace_id,
            service_name=setup.service.name,
            environment_name=setup.environment.name,
        )
        answer = await self._peer.call(self._stub.ClaimName, request, platform("project"), timeout=TIMEOUT_SECONDS)
        return answer.name.host

"""Auth as the doorkeeper."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from libs.kernel.context import Actor, platform
from libs.kernel.secret import Secret
from libs.protogen.lightrail.auth.v1 import auth_pb2, auth_pb2_grpc
from libs.rpc import Peer
from services.gateway.app.ports import Admission


class AuthDoorkeeper:
    """Exchanges a credential for a signed identity, and reads who that names."""

    def __init__(self, peer: Peer, verify: Callable[[str], Actor]) -> None:
        self._peer = peer
        self._stub = auth_pb2_grpc.AuthServiceStub(peer.channel)
        # Raises Denied when the identity was not signed by this platform.
        self._verify = verify

    async def admit(self, credential: Secret[str], method: str) -> Admission:
        """Tells who calls. Denied when the credential is unknown or may not call `method`."""
        request = auth_pb2.AuthorizeRequest(credential=credential.reveal(), method=method)
        answer = await self._peer.call(self._stub.Authorize, request, platform("gateway"))
        expires: datetime = answer.expires_at.ToDatetime(tzinfo=UTC)
        return Admission(self._verify(answer.identity), expires)

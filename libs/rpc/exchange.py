"""Exchanges what a person holds (a session, an API token) for the identity it stands for."""

from __future__ import annotations

from libs.kernel.clock import Clock
from libs.kernel.context import Actor, platform
from libs.protogen.lightrail.auth.v1 import auth_pb2, auth_pb2_grpc
from libs.rpc.client import Peer
from libs.rpc.identity import Identity
from libs.rpc.server import Exchange


def exchange_with(auth: Peer, service: str, identity: Identity, clock: Clock) -> Exchange:
    """Asks auth on behalf of `service`; Denied when the credential is no good or may not call the method."""
    stub = auth_pb2_grpc.AuthServiceStub(auth.channel)

    async def exchange(credential: str, method: str) -> Actor:
        request = auth_pb2.AuthorizeRequest(credential=credential, method=method)
        answer = await auth.call(stub.Authorize, request, platform(service))
        return identity.verify(answer.identity, now=clock.now())

    return exchange

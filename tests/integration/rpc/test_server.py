"""What a caller hears of a bug behind a door: that there is one, and nothing of what is inside."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from libs.kernel.context import Actor, platform
from libs.kernel.errors import Conflict, Denied
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.rpc import Identity, Peer, Server
from libs.runtime.clock import SystemClock

SECRET = "hunter2"


class Broken(deploy_pb2_grpc.DeploymentServiceServicer):
    async def GetDeployment(self, request: Any, context: Any) -> Any:
        raise ValueError(SECRET)

    async def StreamLogs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield deploy_pb2.StreamLogsResponse(lines=[deploy_pb2.LogLine(text="first")])
        raise ValueError(SECRET)


async def nobody(_credential: str, _method: str) -> Actor:
    raise Denied("no tokens here", unauthenticated=True)


@pytest_asyncio.fixture
async def peer(identity: Identity, system_clock: SystemClock) -> AsyncIterator[Peer]:
    broken = Broken()  # type: ignore[abstract]  # nobody asks it for more
    add = deploy_pb2_grpc.add_DeploymentServiceServicer_to_server
    server = Server("127.0.0.1:0", [(add, broken)], identity=identity, exchange=nobody, clock=system_clock)
    await server.start()
    connected = Peer(f"127.0.0.1:{server.port}", identity, system_clock)
    yield connected
    await connected.close()
    await server.stop(0)


async def test_a_bug_is_told_without_what_it_says(peer: Peer) -> None:
    stub = deploy_pb2_grpc.DeploymentServiceStub(peer.channel)
    with pytest.raises(grpc.aio.AioRpcError) as crashed:
        await peer.call(stub.GetDeployment, deploy_pb2.GetDeploymentRequest(), platform("test"))
    _told_without_its_inside(crashed.value)


async def test_a_bug_in_a_stream_is_told_alike(peer: Peer) -> None:
    stub = deploy_pb2_grpc.DeploymentServiceStub(peer.channel)
    responses = peer.stream(stub.StreamLogs, deploy_pb2.StreamLogsRequest(), platform("test"))
    with pytest.raises(grpc.aio.AioRpcError) as crashed:
        _ = [line async for response in responses for line in response.lines]
    _told_without_its_inside(crashed.value)


async def test_a_taken_address_is_a_sentence(identity: Identity, system_clock: SystemClock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(Conflict, match=f"{address} cannot be listened on: another program has it"):
            Server(address, [], identity=identity, exchange=nobody, clock=system_clock)


def _told_without_its_inside(crashed: grpc.aio.AioRpcError) -> None:
    assert crashed.code() is grpc.StatusCode.INTERNAL
    said = crashed.details() or ""
    assert "mistake" in said
    assert SECRET not in said
    assert "ValueError" not in said

"""Serves GitService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from libs.kernel.errors import Invalid
from libs.protogen.lightrail.build.v1 import git_pb2, git_pb2_grpc
from libs.rpc import current
from services.build.app.pushes import Pushes

Context = Any


class GitServicer(git_pb2_grpc.GitServiceServicer):
    """Each RPC is one use case."""

    def __init__(self, pushes: Pushes) -> None:
        self._pushes = pushes

    async def AdvertiseRefs(
        self, request: git_pb2.AdvertiseRefsRequest, context: Context
    ) -> git_pb2.AdvertiseRefsResponse:
        """What a client reads first."""
        content = await self._pushes.advertise(
            current(), request.service_id, request.environment_id, push=request.push, protocol=request.protocol
        )
        return git_pb2.AdvertiseRefsResponse(content=content)

    async def ReceivePack(
        self, request_iterator: AsyncIterator[git_pb2.ReceivePackRequest], context: Context
    ) -> AsyncIterator[git_pb2.ReceivePackResponse]:
        """Takes a push in, and tells how it goes."""
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise Invalid("The push was empty: the first message must carry the service id.", field="service_id")
        chunks = _chunks(first, request_iterator)
        async for said in self._pushes.receive(current(), first.service_id, first.environment_id, chunks):
            yield git_pb2.ReceivePackResponse(chunk=said)

    async def UploadPack(
        self, request: git_pb2.UploadPackRequest, context: Context
    ) -> AsyncIterator[git_pb2.UploadPackResponse]:
        """Gives what a fetch asks for."""
        given = self._pushes.upload(
            current(), request.service_id, request.environment_id, request.content, request.protocol
        )
        async for chunk in given:
            yield git_pb2.UploadPackResponse(chunk=chunk)


def git_door(pushes: Pushes) -> tuple[Callable[[Any, grpc.aio.Server], None], GitServicer]:
    """The servicer behind the function that adds it to a server."""
    return git_pb2_grpc.add_GitServiceServicer_to_server, GitServicer(pushes)


async def _chunks(
    first: git_pb2.ReceivePackRequest, rest: AsyncIterator[git_pb2.ReceivePackRequest]
) -> AsyncIterator[bytes]:
    if first.chunk:
        yield first.chunk
    async for message in rest:
        if message.chunk:
            yield message.chunk

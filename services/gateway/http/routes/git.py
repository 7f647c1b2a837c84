"""Smart HTTP: people push to `/git/<project>/<service>.git`, and clone from there.

`/git/<project>/<environment>/<service>.git` is the same for another environment than the project's first one.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from libs.git import pkt
from libs.kernel.context import Ctx
from libs.kernel.errors import Conflict, Exhausted, Failure, Invalid, NotFound
from libs.kernel.units import KIB, MIB
from libs.protogen.lightrail.build.v1 import git_pb2
from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.project.v1 import project_pb2
from services.gateway.http.backend import Backend
from services.gateway.http.basic import basic
from services.gateway.http.doors import GIT, Caller, To

router = APIRouter(prefix="/git", include_in_schema=False)
CHUNK: Final = 256 * KIB
# What a fetch says it has and wants.
LARGEST_REQUEST: Final = MIB
_PAGE: Final = 200
_SERVICES: Final = ("git-receive-pack", "git-upload-pack")
Where = tuple[str, str]


@router.get("/{project}/{service}/info/refs")
@router.get("/{project}/{environment}/{service}/info/refs")
async def advertise(
    request: Request,
    project: str,
    service: str,
    caller: Annotated[Caller, basic(f"{GIT}/AdvertiseRefs")],
    to: To,
    environment: str = "",
    wanted: Annotated[str, Query(alias="service")] = "",
) -> Response:
    """What git reads first."""
    if wanted not in _SERVICES:
        raise Invalid("This platform speaks git's smart protocol only.", hint="Use a newer git.")
    service_id, environment_id = await _where(to, caller.ctx, project, environment, service)
    message = git_pb2.AdvertiseRefsRequest(
        service_id=service_id,
        environment_id=environment_id,
        push=wanted == "git-receive-pack",
        protocol=request.headers.get("git-protocol", "")[:64],
    )
    answer = await to.git.peer.call(to.git.stub.AdvertiseRefs, message, caller.ctx, timeout=60.0)
    return Response(answer.content, media_type=f"application/x-{wanted}-advertisement")


@router.post("/{project}/{service}/git-receive-pack")
@router.post("/{project}/{environment}/{service}/git-receive-pack")
async def receive_pack(
    request: Request,
    project: str,
    service: str,
    caller: Annotated[Caller, basic(f"{GIT}/ReceivePack")],
    to: To,
    environment: str = "",
) -> Response:
    """Takes a push in; what is answered goes on until the deployment is live."""
    service_id, environment_id = await _where(to, caller.ctx, project, environment, service)

    failed: list[Failure] = []

    async def messages() -> AsyncIterator[git_pb2.ReceivePackRequest]:
        yield git_pb2.ReceivePackRequest(service_id=service_id, environment_id=environment_id)
        try:
            async for chunk in _body(request):
                for at in range(0, len(chunk), CHUNK):
                    yield git_pb2.ReceivePackRequest(chunk=chunk[at : at + CHUNK])
        except ClientDisconnect:
            failed.append(Invalid("The push ended before it was complete.", hint="Push again."))
            raise
        except Failure as failure:
            failed.append(failure)
            raise

    answers = to.git.peer.duplex(to.git.stub.ReceivePack, messages(), caller.ctx)
    try:
        return await _streamed(answers, "application/x-git-receive-pack-result", _in_band)
    except asyncio.CancelledError:
        # gRPC cancels its call when the source of messages fails; what failed is the answer then.
        if not failed:
            raise
        return Response(_in_band(failed[0]), media_type="application/x-git-receive-pack-result")


@router.post("/{project}/{service}/git-upload-pack")
@router.post("/{project}/{environment}/{service}/git-upload-pack")
async def upload_pack(
    request: Request,
    project: str,
    service: str,
    caller: Annotated[Caller, basic(f"{GIT}/UploadPack")],
    to: To,
    environment: str = "",
) -> Response:
    """Gives what a fetch or a clone asks for."""
    service_id, environment_id = await _where(to, caller.ctx, project, environment, service)
    content = b""
    async for chunk in _body(request):
        content += chunk
        if len(content) > LARGEST_REQUEST:
            raise Exhausted("This fetch asks for more than one request may hold.", hint="Clone anew.")
    message = git_pb2.UploadPackRequest(
        service_id=service_id,
        environment_id=environment_id,
        content=content,
        protocol=request.headers.get("git-protocol", "")[:64],
    )
    answers = to.git.peer.stream(to.git.stub.UploadPack, message, caller.ctx)
    return await _streamed(answers, "application/x-git-upload-pack-result", _as_line)


def _in_band(failure: Failure) -> bytes:
    """A refusal as git shows it to people: of other answers than 200 it shows the number alone."""
    return pkt.band(pkt.FATAL, str(failure).encode())


def _as_line(failure: Failure) -> bytes:
    """The same before a fetch has agreed on bands."""
    return pkt.line(f"ERR {failure}")


async def _streamed(answers: AsyncIterator[Any], media_type: str, refused: Callable[[Failure], bytes]) -> Response:
    """The answer once its first piece is there."""
    source = cast("AsyncGenerator[Any, None]", answers)
    try:
        first = await anext(source, None)
    except Failure as failure:
        return Response(refused(failure), media_type=media_type)

    async def content() -> AsyncIterator[bytes]:
        async with aclosing(source):
            try:
                if first is not None:
                    yield first.chunk
                async for answer in source:
                    yield answer.chunk
            except Failure as failure:
                yield _in_band(failure)

    return StreamingResponse(content(), media_type=media_type)


async def _body(request: Request) -> AsyncIterator[bytes]:
    """The request's body, unpacked when git packed it."""
    if request.headers.get("content-encoding", "") not in ("gzip", "x-gzip"):
        async for chunk in request.stream():
            yield chunk
        return
    unpack = zlib.decompressobj(wbits=31)
    async for chunk in request.stream():
        rest = chunk
        while rest:
            try:
                piece = unpack.decompress(rest, CHUNK)
            except zlib.error as error:
                raise Invalid("The request is not packed as it says.") from error
            rest = unpack.unconsumed_tail
            if piece:
                yield piece


async def _where(to: Backend, ctx: Ctx, project: str, environment: str, service: str) -> Where:
    """Ids of what an address names, by names or ids. NotFound when it is not the caller's."""
    name = service.removesuffix(".git")
    found = [row async for row in _projects(to, ctx) if project in (row.id, row.name)]
    if len(found) > 1:
        raise Conflict(f"Several workspaces have a project “{project}”.", hint="Write its id instead: lr list --json")
    if not found:
        raise NotFound(f"There is no project “{project[:100]}”, or it is not yours.", hint="lr list shows yours.")
    places = [row for row in found[0].environments if not environment or environment in (row.id, row.name)]
    if not places:
        raise NotFound(f"{found[0].name} has no environment “{environment[:100]}”.")
    wanted = project_pb2.ListServicesRequest(project_id=found[0].id, environment_id=places[0].id)
    services = (await to.project.peer.call(to.project.stub.ListServices, wanted, ctx)).services
    for row in services:
        if name in (row.id, row.name):
            return row.id, row.environment_id
    raise NotFound(f"{found[0].name} has no service “{name[:100]}”.", hint="Make it with: lr up --new NAME")


async def _projects(to: Backend, ctx: Ctx) -> AsyncIterator[project_pb2.Project]:
    cursor = ""
    while True:
        page = project_pb2.ListProjectsRequest(page=common_pb2.Page(limit=_PAGE, cursor=cursor))
        answer = await to.project.peer.call(to.project.stub.ListProjects, page, ctx)
        for row in answer.projects:
            yield row
        if not answer.next_cursor:
            return
        cursor = answer.next_cursor

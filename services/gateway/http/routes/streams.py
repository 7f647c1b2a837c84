"""What happens now: a deployment's states, build logs, logs, events of a workspace. SSE, or JSON for a look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, Query, Request, Response

from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound, Unavailable
from libs.protogen.lightrail.build.v1 import build_pb2
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from libs.protogen.lightrail.project.v1 import project_pb2
from services.gateway.app.feed import Feed, about, visible
from services.gateway.app.ports import Event as Fact
from services.gateway.http.backend import Backend
from services.gateway.http.doors import AUTH, BUILD, DEPLOY, Caller, To, authorized
from services.gateway.http.models.base import (
    INT64,
    DeploymentId,
    EnvironmentId,
    Items,
    ProjectId,
    ServiceId,
    WorkspaceId,
)
from services.gateway.http.models.deployments import SETTLED, BuildLine, Deployment, LogLine
from services.gateway.http.models.operations import Event
from services.gateway.http.routes.deployments import read
from services.gateway.http.sse import MEDIA_TYPE, EventStream, Frame, last_number, wants_events

router = APIRouter(tags=["streams"])
# Seconds between looks when no fact wakes a stream: what a lost fact costs.
LOOK: Final = 1.0
# Lines one JSON answer carries at most.
MOST_LINES: Final = 5000
JSON_SECONDS: Final = 10.0
_SSE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "Server-sent events, or JSON."}
}
Follow = Annotated[bool, Query(description="Go on with what comes; server-sent events only.")]
After = Annotated[int, Query(ge=0, le=INT64, description="Only lines after this number.")]
_LAST: Final = "The last lines, unless `after` is given."
Tail = Annotated[int, Query(ge=0, le=MOST_LINES, description=_LAST)]
BuildTail = Annotated[int, Query(ge=0, le=MOST_LINES, description=f"{_LAST} 0: from the first line.")]


@router.get("/deployments/{deployment_id}/events", operation_id="watchDeployment", responses=_SSE)
async def watch_deployment(
    deployment_id: DeploymentId,
    request: Request,
    caller: Annotated[Caller, authorized(f"{DEPLOY}/GetDeployment")],
    to: To,
) -> Response:
    """Events named `state` with the deployment, at once and on each change, until it is active or over."""
    first = await read(to, deployment_id, caller.ctx)
    seen = request.headers.get("last-event-id", "")
    return _stream(request, caller, _states(to, caller, request.app.state.feed, first, seen))


@router.get("/deployments/{deployment_id}/build-logs", operation_id="getBuildLogs", responses=_SSE)
async def get_build_logs(
    deployment_id: DeploymentId,
    request: Request,
    caller: Annotated[Caller, authorized(f"{BUILD}/StreamBuildLog")],
    to: To,
    follow: Follow = False,  # noqa: FBT002 - a query parameter
    after: After = 0,
    tail: BuildTail = 0,
) -> Response:
    """The build's log: with `Accept: text/event-stream` as events named `line`, else as JSON."""
    await read(to, deployment_id, caller.ctx)
    message = build_pb2.StreamBuildLogRequest(deployment_id=deployment_id, follow=follow)
    message.after = last_number(request, after)
    message.tail = 0 if message.after else tail
    if follow or wants_events(request):
        return _stream(request, caller, _build_lines(to, caller, request.app.state.feed, message))
    found: list[BuildLine] = []
    try:
        async with aclosing(
            _batches(to.build.peer, to.build.stub.StreamBuildLog, message, caller.ctx, JSON_SECONDS)
        ) as all_of:
            async for batch in all_of:
                found += [BuildLine.of(line) for line in batch.lines]
                if len(found) >= MOST_LINES:
                    break
    except NotFound:
        # The deployment is there: nothing of it was built (yet).
        found = []
    return _json(Items[BuildLine](items=found[:MOST_LINES]))


@router.get("/services/{service_id}/logs", operation_id="getServiceLogs", responses=_SSE)
async def get_service_logs(
    service_id: ServiceId,
    request: Request,
    caller: Annotated[Caller, authorized(f"{DEPLOY}/StreamLogs")],
    to: To,
    environment_id: EnvironmentId | None = None,
    follow: Follow = False,  # noqa: FBT002 - a query parameter
    after: After = 0,
    tail: Tail = 100,
) -> Response:
    """What a service's instances printed, over all its deployments."""
    wanted = project_pb2.GetServiceRequest(service_id=service_id, environment_id=environment_id or "")
    found = (await to.project.peer.call(to.project.stub.GetService, wanted, caller.ctx)).service
    message = deploy_pb2.StreamLogsRequest(service_id=service_id, environment_id=found.environment_id)
    return await _logs(request, caller, to, message, follow=follow, after=after, tail=tail)


@router.get("/deployments/{deployment_id}/logs", operation_id="getDeploymentLogs", responses=_SSE)
async def get_deployment_logs(
    deployment_id: DeploymentId,
    request: Request,
    caller: Annotated[Caller, authorized(f"{DEPLOY}/StreamLogs")],
    to: To,
    follow: Follow = False,  # noqa: FBT002 - a query parameter
    after: After = 0,
    tail: Tail = 100,
) -> Response:
    """What one deployment's instances printed."""
    await read(to, deployment_id, caller.ctx)
    message = deploy_pb2.StreamLogsRequest(deployment_id=deployment_id)
    return await _logs(request, caller, to, message, follow=follow, after=after, tail=tail)


@router.get("/events", operation_id="watchEvents", responses=_SSE)
async def watch_events(
    request: Request,
    caller: Annotated[Caller, authorized(f"{AUTH}/GetMe")],
    to: To,
    workspace_id: WorkspaceId | None = None,
    project_id: ProjectId | None = None,
) -> Response:
    """Facts of the caller's workspaces from now on, as events named `fact`; they may be missed, so read after each."""
    if workspace_id:
        caller.ctx.allow(workspace_id, what=f"Workspace {workspace_id}")
    if project_id:
        wanted = project_pb2.GetProjectRequest(project_id=project_id)
        await to.project.peer.call(to.project.stub.GetProject, wanted, caller.ctx)
    feed: Feed = request.app.state.feed
    return _stream(request, caller, _facts(caller, feed, workspace_id or "", project_id or ""))


def _stream(request: Request, caller: Caller, frames: AsyncGenerator[Frame, None]) -> EventStream:
    state = request.app.state
    return EventStream(frames, stopping=state.stopping, still=caller.again, request_id=caller.ctx.request_id)


def _json(answer: Items[Any]) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


async def _states(to: Backend, caller: Caller, feed: Feed, first: Deployment, seen: str) -> AsyncGenerator[Frame, None]:
    """Facts wake it, deploy informs it, and a second without a fact is reason enough to look."""
    deployment = first
    told: tuple[str, str | None] | None = None
    with feed.watch(about(first.id)) as watch:
        while True:
            mark = f"{deployment.state}@{deployment.updated_at.timestamp():.6f}"
            settled = deployment.state in SETTLED
            if (deployment.state, deployment.reason) != told and (mark != seen or settled):
                yield Frame("state", deployment, mark)
            told = (deployment.state, deployment.reason)
            if settled:
                return
            await watch.wait(LOOK)
            watch.take()
            try:
                deployment = await read(to, first.id, await caller.again())
            except Unavailable:
                # A part restarts; the next look tells.
                await asyncio.sleep(LOOK / 4)


async def _build_lines(
    to: Backend, caller: Caller, feed: Feed, message: build_pb2.StreamBuildLogRequest
) -> AsyncGenerator[Frame, None]:
    """Lines as they come. Waits for a build that has not begun; resumes after the last one when build restarts."""
    stub = to.build.stub
    with feed.watch(about(message.deployment_id)) as watch:
        while True:
            watch.take()
            ctx = await caller.again()
            try:
                async with aclosing(_batches(to.build.peer, stub.StreamBuildLog, message, ctx, None)) as batches:
                    async for batch in batches:
                        for line in batch.lines:
                            yield Frame("line", BuildLine.of(line), str(line.number))
                            message.after, message.tail = line.number, 0
            except NotFound:
                if not message.follow or (await read(to, message.deployment_id, ctx)).state in SETTLED:
                    return
                # From now on every line is one that came.
                message.tail = 0
                await watch.wait(LOOK)
            except Unavailable:
                await asyncio.sleep(LOOK / 4)
            else:
                return


async def _logs(
    request: Request,
    caller: Caller,
    to: Backend,
    message: deploy_pb2.StreamLogsRequest,
    *,
    follow: bool,
    after: int,
    tail: int,
) -> Response:
    message.after = last_number(request, after)
    message.tail = 0 if message.after else tail
    message.follow = follow
    if follow or wants_events(request):
        return _stream(request, caller, _log_lines(to, caller, message))
    found: list[LogLine] = []
    async with aclosing(
        _batches(to.deploy.peer, to.deploy.stub.StreamLogs, message, caller.ctx, JSON_SECONDS)
    ) as batches:
        async for batch in batches:
            found += [LogLine.of(line) for line in batch.lines]
            if len(found) >= MOST_LINES:
                break
    return _json(Items[LogLine](items=found[:MOST_LINES]))


async def _log_lines(to: Backend, caller: Caller, message: deploy_pb2.StreamLogsRequest) -> AsyncGenerator[Frame, None]:
    """Lines as they come; resumes after the last one when deploy restarts."""
    while True:
        ctx = await caller.again()
        try:
            async with aclosing(_batches(to.deploy.peer, to.deploy.stub.StreamLogs, message, ctx, None)) as batches:
                async for batch in batches:
                    for line in batch.lines:
                        yield Frame("line", LogLine.of(line), str(line.cursor))
                        message.after, message.tail = line.cursor, 0
        except Unavailable:
            await asyncio.sleep(LOOK / 4)
        else:
            return


async def _facts(caller: Caller, feed: Feed, workspace_id: str, project_id: str) -> AsyncGenerator[Frame, None]:
    """Filters each batch by what the caller may see at that moment."""
    with feed.watch(lambda _event: True) as watch:
        while not watch.closed:
            await watch.wait(LOOK * 15)
            events: list[Fact] = watch.take()
            if not events:
                continue
            actor = (await caller.again()).actor
            wanted = visible(actor, workspace_id=workspace_id, project_id=project_id)
            for event in filter(wanted, events):
                yield Frame("fact", Event.of(event), event.id)


async def _batches(
    peer: Any,  # noqa: ANN401 - the two log calls differ in their messages only
    method: Any,  # noqa: ANN401 - the same
    message: Any,  # noqa: ANN401 - the same
    ctx: Ctx,
    seconds: float | None,
) -> AsyncGenerator[Any, None]:
    # Closed with us, so that the call ends at once when the caller leaves.
    responses = cast("AsyncGenerator[Any, None]", peer.stream(method, message, ctx, timeout=seconds))
    async with aclosing(responses):
        async for response in responses:
            yield response

"""Health, usage, the story of a deployment, dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Final

import grpc
from fastapi import APIRouter, Path, Query, Request, Response
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import AwareDatetime

from libs.kernel.errors import NotFound, Unavailable
from libs.protogen.lightrail.metering.v1 import metering_pb2
from libs.rpc import Peer
from services.gateway.app import timeline
from services.gateway.app.ports import DeadLetter as Letter
from services.gateway.app.ports import FactSources
from services.gateway.http.doors import DEPLOY, FACTS, METERING, Caller, To, authorized, open_door
from services.gateway.http.models.base import DeploymentId, ProjectId, ServiceId, WorkspaceId
from services.gateway.http.models.operations import (
    DeadLetter,
    DeadLetters,
    Event,
    Health,
    PartState,
    Timeline,
    Usage,
)
from services.gateway.http.routes.deployments import read

router = APIRouter(tags=["platform"])
HEALTH_SECONDS: Final = 1.0
When = Annotated[AwareDatetime | None, Query(description="RFC 3339, as in 2026-01-31T00:00:00Z.")]


@router.get("/health", operation_id="getHealth", dependencies=[open_door("names of parts only")])
async def get_health(request: Request, response: Response) -> Health:
    """Whether every service the API needs answers; 503 when one does not."""
    services = await health_of(request.app.state.watched)
    ready = all(state == "ready" for state in services.values())
    if not ready:
        response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
    return Health(status="ready" if ready else "away", services=services)


@router.get("/usage", operation_id="queryUsage")
async def query_usage(
    caller: Annotated[Caller, authorized(f"{METERING}/QueryUsage")],
    to: To,
    workspace_id: WorkspaceId | None = None,
    project_id: ProjectId | None = None,
    service_id: ServiceId | None = None,
    start: When = None,
    end: When = None,
) -> Usage:
    """Use per service with its price; this month unless told."""
    message = metering_pb2.QueryUsageRequest(
        workspace_id=workspace_id or "", project_id=project_id or "", service_id=service_id or ""
    )
    for name, value in (("start", start), ("end", end)):
        if isinstance(value, datetime):
            getattr(message, name).FromDatetime(value)
    return Usage.of(await to.metering.peer.call(to.metering.stub.QueryUsage, message, caller.ctx))


@router.get("/deployments/{deployment_id}/timeline", operation_id="getTimeline")
async def get_timeline(
    deployment_id: DeploymentId,
    request: Request,
    caller: Annotated[Caller, authorized(f"{DEPLOY}/GetDeployment")],
    to: To,
) -> Timeline:
    """What happened to a deployment over all services, from their own records."""
    deployment = await read(to, deployment_id, caller.ctx)
    sources: FactSources = request.app.state.sources
    story = await timeline.tell(sources, deployment.workspace_id, deployment_id)
    return Timeline(
        deployment_id=deployment_id, events=[Event.of(event) for event in story.events], missing=list(story.missing)
    )


@router.get("/platform/dead-letters", operation_id="listDeadLetters")
async def list_dead_letters(
    request: Request, caller: Annotated[Caller, authorized(f"{FACTS}/ListDeadLetters")]
) -> DeadLetters:
    """Facts that a service could not react to. Operators only."""
    sources: FactSources = request.app.state.sources

    async def ask(name: str) -> list[Letter] | None:
        try:
            return list(await sources.dead_letters(name, caller.ctx))
        except Unavailable:
            return None

    answers = await asyncio.gather(*map(ask, sources.names))
    missing = [name for name, letters in zip(sources.names, answers, strict=True) if letters is None]
    found = [DeadLetter.of(letter) for letters in answers for letter in letters or ()]
    return DeadLetters(items=sorted(found, key=lambda letter: letter.died_at), missing=missing)


@router.post(
    "/platform/dead-letters/{source}/{fact_id}/replay",
    operation_id="replayDeadLetter",
    status_code=HTTPStatus.NO_CONTENT,
)
async def replay_dead_letter(
    source: Annotated[str, Path(max_length=40)],
    fact_id: Annotated[str, Path(max_length=80, pattern=r"^[\w.:-]+$")],
    request: Request,
    caller: Annotated[Caller, authorized(f"{FACTS}/ReplayDeadLetter")],
) -> None:
    """Lets a service react to a fact again; it leaves the list when that succeeds. Operators only."""
    sources: FactSources = request.app.state.sources
    if source not in sources.names:
        raise NotFound(f"No service “{source}” keeps dead letters.", field="source")
    await sources.replay(source, fact_id, caller.ctx)


async def health_of(peers: Mapping[str, Peer]) -> dict[str, PartState]:
    """Asks every service's standard health check, all at once, a second at most."""
    states = await asyncio.gather(*(_health(peer) for peer in peers.values()))
    return dict(zip(peers, states, strict=True))


async def _health(peer: Peer) -> PartState:
    stub = health_pb2_grpc.HealthStub(peer.channel)
    try:
        answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
    except grpc.aio.AioRpcError:
        return "away"
    return "ready" if answer.status == health_pb2.HealthCheckResponse.SERVING else "away"

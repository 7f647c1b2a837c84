"""Builds: how far they are, and what they came to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from libs.protogen.lightrail.build.v1 import build_pb2
from services.gateway.http.doors import BUILD, Caller, To, authorized
from services.gateway.http.models.base import BuildId, DeploymentId, Items
from services.gateway.http.models.builds import Build

router = APIRouter(tags=["builds"])
# Deployments that one call may ask about.
MOST = 200


@router.get("/builds", operation_id="listBuilds")
async def list_builds(
    caller: Annotated[Caller, authorized(f"{BUILD}/ListBuilds")],
    to: To,
    deployment_id: Annotated[
        list[DeploymentId], Query(min_length=1, max_length=MOST, description="Whose builds; may be repeated.")
    ],
) -> Items[Build]:
    """The builds of these deployments, newest first; a deployment without one (yet) is left out."""
    message = build_pb2.ListBuildsRequest(deployment_ids=deployment_id)
    answer = await to.build.peer.call(to.build.stub.ListBuilds, message, caller.ctx)
    return Items(items=[Build.of(row) for row in answer.builds])


@router.get("/builds/{build_id}", operation_id="getBuild")
async def get_build(build_id: BuildId, caller: Annotated[Caller, authorized(f"{BUILD}/GetBuild")], to: To) -> Build:
    """One build with its stages."""
    message = build_pb2.GetBuildRequest(build_id=build_id)
    answer = await to.build.peer.call(to.build.stub.GetBuild, message, caller.ctx)
    return Build.of(answer.build)

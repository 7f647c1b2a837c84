"""Builds: how far they are, and what they came to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from libs.protogen.lightrail.build.v1 import build_pb2
from services.gateway.http.doors import BUILD, Caller, To, authorized
from services.gateway.http.models.base import BuildId, DeploymentId, Items
from services.gateway.http.models.builds import Build, Provenance, ProvenanceKey

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


@router.get("/builds/{build_id}/provenance", operation_id="getBuildProvenance")
async def get_build_provenance(
    build_id: BuildId, caller: Annotated[Caller, authorized(f"{BUILD}/GetProvenance")], to: To
) -> Provenance:
    """The signed statement about what a build made: source, plan, builder, materials."""
    message = build_pb2.GetProvenanceRequest(build_id=build_id)
    return Provenance.of(await to.build.peer.call(to.build.stub.GetProvenance, message, caller.ctx))


@router.get("/artifacts/{digest}/provenance", operation_id="getArtifactProvenance")
async def get_artifact_provenance(
    digest: Annotated[str, Path(pattern=r"^sha256:[0-9a-f]{64}$", description="sha256:<64 hex digits>.")],
    caller: Annotated[Caller, authorized(f"{BUILD}/GetProvenance")],
    to: To,
) -> Provenance:
    """The signed statement of the newest build that made this artifact and is the caller's to see."""
    message = build_pb2.GetProvenanceRequest(artifact_digest=digest)
    return Provenance.of(await to.build.peer.call(to.build.stub.GetProvenance, message, caller.ctx))


@router.get("/platform/provenance-key", operation_id="getProvenanceKey")
async def get_provenance_key(
    caller: Annotated[Caller, authorized(f"{BUILD}/GetProvenanceKey")], to: To
) -> ProvenanceKey:
    """The public key that statements are checked with. Who does not trust the platform keeps a copy of it."""
    answer = await to.build.peer.call(to.build.stub.GetProvenanceKey, build_pb2.GetProvenanceKeyRequest(), caller.ctx)
    return ProvenanceKey(pem=answer.pem)

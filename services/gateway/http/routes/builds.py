"""Builds: how far they are, and what they came to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse

from libs.protogen.lightrail.build.v1 import build_pb2
from libs.scan.cyclonedx import MEDIA_TYPE
from services.gateway.http.doors import BUILD, Caller, To, authorized
from services.gateway.http.models.base import BuildId, DeploymentId, Items
from services.gateway.http.models.builds import Build, Provenance, ProvenanceKey
from services.gateway.http.models.scans import Scan

router = APIRouter(tags=["builds"])


class Document(StreamingResponse):
    """A CycloneDX document."""

    media_type = MEDIA_TYPE


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


@router.get("/builds/{build_id}/scan", operation_id="getScan")
async def get_scan(build_id: BuildId, caller: Annotated[Caller, authorized(f"{BUILD}/GetScan")], to: To) -> Scan:
    """What the scan of a build's source found; 404 before it has ended."""
    message = build_pb2.GetScanRequest(build_id=build_id)
    answer = await to.build.peer.call(to.build.stub.GetScan, message, caller.ctx)
    return Scan.of(answer.scan)


@router.get("/builds/{build_id}/sbom", operation_id="downloadSbom", response_class=Document)
async def download_sbom(
    build_id: BuildId, caller: Annotated[Caller, authorized(f"{BUILD}/DownloadSbom")], to: To
) -> Document:
    """The software bill of materials of a build's source, as CycloneDX 1.6."""
    message = build_pb2.DownloadSbomRequest(build_id=build_id)
    pieces = to.build.peer.stream(to.build.stub.DownloadSbom, message, caller.ctx)
    # The first piece is waited for here: that there is none is an answer of its own.
    first = await anext(pieces, None)
    return Document(_pieces(first, pieces))


async def _pieces(
    first: build_pb2.DownloadSbomResponse | None, rest: AsyncIterator[build_pb2.DownloadSbomResponse]
) -> AsyncIterator[bytes]:
    if first is not None:
        yield first.chunk
    async for piece in rest:
        yield piece.chunk

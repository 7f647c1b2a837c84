"""Serves BuildService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import grpc

from libs.kernel.errors import Invalid
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.rpc import current
from services.build.app.builds import BuildDesk
from services.build.app.provenance import ProvenanceDesk
from services.build.app.uploads import Uploads
from services.build.rpc.codec import (
    artifact_message,
    build_message,
    line_message,
    scan_message,
    snapshot_message,
)

if TYPE_CHECKING:
    Context = grpc.aio.ServicerContext[Any, Any]


# Bytes of one message of a document.
PIECE = 256 * 1024


class BuildServicer(build_pb2_grpc.BuildServiceServicer):
    """Each RPC is one use case."""

    def __init__(self, uploads: Uploads, desk: BuildDesk, provenance: ProvenanceDesk) -> None:
        self._uploads = uploads
        self._provenance = provenance
        self._desk = desk

    async def UploadSnapshot(
        self, request_iterator: AsyncIterator[build_pb2.UploadSnapshotRequest], context: Context
    ) -> build_pb2.UploadSnapshotResponse:
        """Takes a source archive in."""
        first = await anext(aiter(request_iterator), None)
        if first is None:
            raise Invalid("The upload was empty: the first message must carry the service id.", field="service_id")
        snapshot = await self._uploads.upload(current(), first.service_id, _chunks(first, request_iterator))
        return build_pb2.UploadSnapshotResponse(snapshot=snapshot_message(snapshot))

    async def GetSnapshot(
        self, request: build_pb2.GetSnapshotRequest, context: Context
    ) -> build_pb2.GetSnapshotResponse:
        """Gives one snapshot."""
        snapshot = await self._uploads.get(current(), request.snapshot_id)
        return build_pb2.GetSnapshotResponse(snapshot=snapshot_message(snapshot))

    async def GetBuild(self, request: build_pb2.GetBuildRequest, context: Context) -> build_pb2.GetBuildResponse:
        """Gives one build."""
        build = await self._desk.get(current(), request.build_id, request.deployment_id)
        return build_pb2.GetBuildResponse(build=build_message(build))

    async def ListBuilds(self, request: build_pb2.ListBuildsRequest, context: Context) -> build_pb2.ListBuildsResponse:
        """Gives the builds of some deployments."""
        builds = await self._desk.of_deployments(current(), request.deployment_ids)
        return build_pb2.ListBuildsResponse(builds=[build_message(build) for build in builds])

    async def StreamBuildLog(
        self, request: build_pb2.StreamBuildLogRequest, context: Context
    ) -> AsyncIterator[build_pb2.StreamBuildLogResponse]:
        """Gives the log, and with follow what comes."""
        build_id, deployment_id = request.build_id, request.deployment_id
        pages = self._desk.read_log(
            current(), build_id, deployment_id, after=request.after, tail=request.tail, follow=request.follow
        )
        async for lines in pages:
            yield build_pb2.StreamBuildLogResponse(lines=[line_message(line) for line in lines])

    async def CancelBuild(
        self, request: build_pb2.CancelBuildRequest, context: Context
    ) -> build_pb2.CancelBuildResponse:
        """Calls a build off."""
        await self._desk.cancel(current(), request.build_id, request.deployment_id)
        return build_pb2.CancelBuildResponse()

    async def GetScan(self, request: build_pb2.GetScanRequest, context: Context) -> build_pb2.GetScanResponse:
        """Gives what a scan found."""
        report = await self._desk.scan(current(), request.build_id, request.deployment_id)
        return build_pb2.GetScanResponse(scan=scan_message(report))

    async def DownloadSbom(
        self, request: build_pb2.DownloadSbomRequest, context: Context
    ) -> AsyncIterator[build_pb2.DownloadSbomResponse]:
        """Gives a bill of materials, in pieces."""
        content = await self._desk.sbom(current(), request.build_id, request.deployment_id)
        for start in range(0, len(content), PIECE):
            yield build_pb2.DownloadSbomResponse(chunk=content[start : start + PIECE])

    async def GetArtifact(
        self, request: build_pb2.GetArtifactRequest, context: Context
    ) -> build_pb2.GetArtifactResponse:
        """Gives what a runtime needs."""
        found = await self._provenance.of_artifact(request.digest)
        return build_pb2.GetArtifactResponse(
            artifact=artifact_message(found.artifact), manifest=found.artifact.canonical(), provenance=found.envelope
        )

    async def GetProvenance(
        self, request: build_pb2.GetProvenanceRequest, context: Context
    ) -> build_pb2.GetProvenanceResponse:
        """Gives the signed statement about an artifact."""
        found = await self._provenance.show(
            current(), build_id=request.build_id, deployment_id=request.deployment_id, digest=request.artifact_digest
        )
        return build_pb2.GetProvenanceResponse(
            build_id=found.build.id if found.build else "",
            artifact_digest=found.artifact.digest,
            manifest=found.artifact.canonical(),
            envelope=found.envelope,
        )

    async def GetProvenanceKey(
        self, request: build_pb2.GetProvenanceKeyRequest, context: Context
    ) -> build_pb2.GetProvenanceKeyResponse:
        """Gives the key that statements are checked with."""
        return build_pb2.GetProvenanceKeyResponse(pem=self._provenance.public_key)


def served(
    uploads: Uploads, desk: BuildDesk, provenance: ProvenanceDesk
) -> tuple[Callable[[Any, grpc.aio.Server], None], BuildServicer]:
    """The servicer behind the function that adds it to a server."""
    return build_pb2_grpc.add_BuildServiceServicer_to_server, BuildServicer(uploads, desk, provenance)


async def _chunks(
    first: build_pb2.UploadSnapshotRequest, rest: AsyncIterator[build_pb2.UploadSnapshotRequest]
) -> AsyncIterator[bytes]:
    if first.chunk:
        yield first.chunk
    async for message in rest:
        if message.chunk:
            yield message.chunk

"""Source uploads: streamed from the caller to build, never held."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect

from libs.kernel.errors import Exhausted, Invalid
from libs.kernel.units import KIB, show_bytes
from libs.protogen.lightrail.build.v1 import build_pb2
from libs.protogen.lightrail.project.v1 import project_pb2
from services.gateway.http.doors import BUILD, Caller, To, authorized
from services.gateway.http.models.base import ServiceId
from services.gateway.http.models.deployments import Snapshot
from services.gateway.http.problems import TooLarge

router = APIRouter(tags=["snapshots"])
# What one message to build carries.
CHUNK: Final = 256 * KIB
# Seconds for one upload: 512 MiB at 0.3 MiB/s.
UPLOAD_SECONDS: Final = 1800.0
CONTENT_TYPES: Final = frozenset(
    {"application/gzip", "application/x-gzip", "application/x-tar", "application/tar+gzip", "application/octet-stream"}
)
_BODY: Final = {
    "requestBody": {
        "required": True,
        "description": "A tar of the source directory, gzipped or plain.",
        "content": {
            "application/gzip": {"schema": {"type": "string", "format": "binary"}},
            "application/x-tar": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@router.post(
    "/services/{service_id}/snapshots",
    operation_id="uploadSnapshot",
    status_code=HTTPStatus.CREATED,
    openapi_extra=_BODY,
)
async def upload_snapshot(
    service_id: ServiceId, request: Request, caller: Annotated[Caller, authorized(f"{BUILD}/UploadSnapshot")], to: To
) -> Snapshot:
    """Stores a tar of a source directory; deploy it with its id."""
    content_type = request.headers.get("content-type", "application/octet-stream").partition(";")[0].strip().lower()
    if content_type not in CONTENT_TYPES:
        raise Invalid(
            f"A snapshot is a tar archive, not {content_type[:80]}.", hint="Send application/gzip or application/x-tar."
        )
    limit: int = request.app.state.snapshot_limit
    body = _Body(request, service_id, limit)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise body.too_large()
    # Build asks this too, but its refusal comes when everything is sent.
    await to.project.peer.call(
        to.project.stub.GetService, project_pb2.GetServiceRequest(service_id=service_id), caller.ctx
    )
    try:
        answer = await to.build.peer.upload(
            to.build.stub.UploadSnapshot, body.messages(), caller.ctx, timeout=UPLOAD_SECONDS
        )
    except Exhausted as failure:
        raise TooLarge(failure.message, field=failure.field, hint=failure.hint) from failure
    except asyncio.CancelledError:
        # gRPC cancels its call when the source of messages fails; what failed is the answer then.
        if body.failed is None:
            raise
        raise body.failed from None
    return Snapshot.of(answer.snapshot)


class _Body:
    """The request's body as messages for build."""

    def __init__(self, request: Request, service_id: str, limit: int) -> None:
        self._request = request
        self._service_id = service_id
        self._limit = limit
        # Why the body ended early, if it did.
        self.failed: Exception | None = None

    def too_large(self) -> TooLarge:
        """The refusal."""
        return TooLarge(
            f"The upload is larger than {show_bytes(self._limit)}, the most a snapshot may be.",
            hint="Name what is not needed in .lightrailignore: data, build output, media.",
        )

    async def messages(self) -> AsyncIterator[build_pb2.UploadSnapshotRequest]:
        """The service's id, then chunks; at most one chunk is held at a time."""
        try:
            yield build_pb2.UploadSnapshotRequest(service_id=self._service_id)
            async for chunk in self._chunks():
                yield build_pb2.UploadSnapshotRequest(chunk=chunk)
        except ClientDisconnect:
            self.failed = Invalid("The upload ended before it was complete.", hint="Send it again.")
            raise
        except TooLarge as failure:
            self.failed = failure
            raise

    async def _chunks(self) -> AsyncIterator[bytes]:
        held = bytearray()
        seen = 0
        async for part in self._request.stream():
            seen += len(part)
            if seen > self._limit:
                raise self.too_large()
            held += part
            if len(held) >= CHUNK:
                yield bytes(held)
                held.clear()
        if held:
            yield bytes(held)

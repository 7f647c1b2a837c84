"""Builds and their stages."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from libs.protogen.lightrail.build.v1 import build_pb2
from services.gateway.http.models.base import Answered
from services.gateway.http.wire import always, moment, text


def _name(states: Any, value: int, prefix: str) -> str:  # noqa: ANN401 - protobuf's type of an enum has no name
    """The name of a state as the API writes it: "running"; "unknown" for one of a later version."""
    try:
        name: str = states.Name(value)
    except ValueError:
        return "unknown"
    return name.removeprefix(prefix).lower()


class Stage(Answered):
    """A part of a build, as its last attempt went."""

    name: str = Field(description="fetch, detect, scan, build, test or publish; the scan runs beside build and test.")
    state: str = Field(description="pending, running, succeeded, failed or skipped.")
    started_at: datetime | None
    finished_at: datetime | None
    detail: str | None = Field(description="What was found, or why it failed or was skipped.")

    @classmethod
    def of(cls, wire: build_pb2.Stage) -> Self:
        """Reads it from its message."""
        return cls(
            name=wire.name,
            state=_name(build_pb2.StageState, wire.state, "STAGE_STATE_"),
            started_at=moment(wire, "started_at"),
            finished_at=moment(wire, "finished_at"),
            detail=text(wire.detail),
        )


class Build(Answered):
    """What makes an artifact of a deployment's source."""

    id: str
    workspace_id: str
    service_id: str
    environment_id: str
    deployment_id: str
    snapshot_id: str
    state: str = Field(description="queued, running, succeeded, failed or cancelled.")
    reason: str | None = Field(description="Why it failed, in a sentence.")
    waiting: str | None = Field(description="Why it has not begun, while it is queued.")
    provider: str | None = Field(description="What was detected: python, node, …")
    artifact_digest: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    stages: list[Stage]

    @classmethod
    def of(cls, wire: build_pb2.Build) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            workspace_id=wire.workspace_id,
            service_id=wire.service_id,
            environment_id=wire.environment_id,
            deployment_id=wire.deployment_id,
            snapshot_id=wire.snapshot_id,
            state=_name(build_pb2.BuildState, wire.state, "BUILD_STATE_"),
            reason=text(wire.reason),
            waiting=text(wire.waiting),
            provider=text(wire.provider),
            artifact_digest=text(wire.artifact_digest),
            created_at=always(wire, "created_at"),
            started_at=moment(wire, "started_at"),
            finished_at=moment(wire, "finished_at"),
            stages=[Stage.of(stage) for stage in wire.stages],
        )


class Envelope(Answered):
    """A DSSE envelope."""

    payload_type: str = Field(alias="payloadType")
    payload: str = Field(description="Base64 of an in-toto statement with SLSA provenance, version 1.")
    signatures: list[dict[str, str]] = Field(description="keyid and sig (base64): ECDSA on P-256 with SHA-256.")


class Provenance(Answered):
    """Where an artifact comes from, signed, and the manifest it speaks of."""

    build_id: str
    artifact_digest: str
    manifest: str = Field(description="Canonical JSON; its sha256 is the artifact's digest.")
    envelope: Envelope | None = Field(description="Null: it was built before artifacts were signed.")

    @classmethod
    def of(cls, wire: build_pb2.GetProvenanceResponse) -> Self:
        """Reads it from its message."""
        return cls(
            build_id=wire.build_id,
            artifact_digest=wire.artifact_digest,
            manifest=wire.manifest.decode(),
            envelope=Envelope(**json.loads(wire.envelope)) if wire.envelope else None,
        )


class ProvenanceKey(Answered):
    """What statements are checked with."""

    pem: str

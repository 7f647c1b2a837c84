"""Subjects to payload types: a fact as plain JSON values."""

from __future__ import annotations

from typing import Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError, Message

from libs.facts import Fact
from libs.protogen.lightrail.auth.v1 import events_pb2 as auth
from libs.protogen.lightrail.build.v1 import events_pb2 as build
from libs.protogen.lightrail.deploy.v1 import events_pb2 as deploy
from libs.protogen.lightrail.metering.v1 import events_pb2 as metering
from libs.protogen.lightrail.project.v1 import events_pb2 as project
from libs.protogen.lightrail.router.v1 import events_pb2 as router
from services.gateway.app.ports import Event

_DEPLOYMENT_STATES: Final = (
    "queued",
    "waiting",
    "needs_approval",
    "sleeping",
    "initializing",
    "building",
    "deploying",
    "went_live",
    "failed",
    "crashed",
    "skipped",
    "removing",
    "removed",
)
PAYLOADS: Final[dict[str, type[Message]]] = {
    "lightrail.auth.user.created.v1": auth.UserCreated,
    "lightrail.auth.workspace.created.v1": auth.WorkspaceCreated,
    "lightrail.auth.token.created.v1": auth.TokenCreated,
    "lightrail.auth.token.revoked.v1": auth.TokenRevoked,
    "lightrail.build.snapshot.stored.v1": build.SnapshotStored,
    "lightrail.build.build.started.v1": build.BuildStarted,
    "lightrail.build.build.succeeded.v1": build.BuildSucceeded,
    "lightrail.build.build.failed.v1": build.BuildFailed,
    "lightrail.build.build.cancelled.v1": build.BuildCancelled,
    "lightrail.deploy.deployment.requested.v1": deploy.DeploymentRequested,
    **{f"lightrail.deploy.deployment.{state}.v1": deploy.DeploymentChanged for state in _DEPLOYMENT_STATES},
    "lightrail.metering.minute.recorded.v1": metering.MinuteRecorded,
    "lightrail.project.project.created.v1": project.ProjectCreated,
    "lightrail.project.project.deleted.v1": project.ProjectDeleted,
    "lightrail.project.environment.created.v1": project.EnvironmentCreated,
    "lightrail.project.service.created.v1": project.ServiceCreated,
    "lightrail.project.service.updated.v1": project.ServiceUpdated,
    "lightrail.project.service.deleted.v1": project.ServiceDeleted,
    "lightrail.project.variables.changed.v1": project.VariablesChanged,
    "lightrail.router.name.claimed.v1": router.NameClaimed,
    "lightrail.router.endpoints.published.v1": router.EndpointsPublished,
}


def decode(fact: Fact) -> Event:
    """The fact with its payload as JSON values; an unknown or unreadable payload is shown as empty."""
    return Event(
        id=fact.id,
        source=fact.source,
        sequence=fact.sequence,
        subject=fact.subject,
        workspace_id=fact.workspace_id,
        correlation_id=fact.correlation_id,
        recorded_at=fact.recorded_at,
        data=_values(PAYLOADS.get(fact.subject), fact.payload),
    )


def _values(kind: type[Message] | None, payload: bytes) -> dict[str, object]:
    if kind is None:
        return {}
    try:
        message = kind.FromString(payload)
    except DecodeError:
        return {}
    values: dict[str, object] = MessageToDict(message, preserving_proto_field_name=True)
    # JSON of protobuf writes 64-bit numbers as text; ours are sequences and sizes, and fit.
    for field in message.DESCRIPTOR.fields:
        if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) and field.name in values:
            values[field.name] = int(str(values[field.name]))
    return values

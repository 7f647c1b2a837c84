"""Facts of this service as they travel: subject and protobuf payload."""

from __future__ import annotations

import dataclasses
from typing import Final

from google.protobuf.message import Message

from libs.facts import NewFact
from libs.protogen.lightrail.project.v1 import events_pb2
from services.project.domain import facts
from services.project.domain.facts import Happened

_KINDS: Final[dict[type[Happened], tuple[str, type[Message]]]] = {
    facts.ProjectCreated: ("project.created", events_pb2.ProjectCreated),
    facts.ProjectDeleted: ("project.deleted", events_pb2.ProjectDeleted),
    facts.EnvironmentCreated: ("environment.created", events_pb2.EnvironmentCreated),
    facts.ServiceCreated: ("service.created", events_pb2.ServiceCreated),
    facts.ServiceUpdated: ("service.updated", events_pb2.ServiceUpdated),
    facts.ServiceDeleted: ("service.deleted", events_pb2.ServiceDeleted),
    facts.VariablesChanged: ("variables.changed", events_pb2.VariablesChanged),
}


def encode(fact: Happened) -> NewFact:
    """Returns the fact as the outbox takes it; a fact and its message have the same fields."""
    happened, message = _KINDS[type(fact)]
    return NewFact(
        subject=f"lightrail.project.{happened}.v1",
        workspace_id=fact.workspace_id,
        correlation_id="",
        payload=message(**dataclasses.asdict(fact)).SerializeToString(),
    )

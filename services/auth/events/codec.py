"""Facts of auth as messages of proto/lightrail/auth/v1/events.proto."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import Message

from libs.facts import NewFact
from libs.protogen.lightrail.auth.v1 import events_pb2
from services.auth.domain.facts import AuthFact, TokenCreated, TokenRevoked, UserCreated, WorkspaceCreated

SUBJECTS: Final[dict[type[AuthFact], str]] = {
    UserCreated: "lightrail.auth.user.created.v1",
    WorkspaceCreated: "lightrail.auth.workspace.created.v1",
    TokenCreated: "lightrail.auth.token.created.v1",
    TokenRevoked: "lightrail.auth.token.revoked.v1",
}


def encode(fact: AuthFact) -> NewFact:
    """Returns the fact as the outbox keeps it; it correlates with what it is about."""
    return NewFact(
        subject=SUBJECTS[type(fact)],
        workspace_id=fact.workspace_id,
        correlation_id=_about(fact),
        payload=_message(fact).SerializeToString(deterministic=True),
    )


def _message(fact: AuthFact) -> Message:
    match fact:
        case UserCreated():
            return events_pb2.UserCreated(user_id=fact.user_id, email=fact.email, workspace_id=fact.workspace_id)
        case WorkspaceCreated():
            return events_pb2.WorkspaceCreated(workspace_id=fact.workspace_id, name=fact.name)
        case TokenCreated():
            return events_pb2.TokenCreated(token_id=fact.token_id, user_id=fact.user_id)
        case TokenRevoked():
            return events_pb2.TokenRevoked(token_id=fact.token_id, user_id=fact.user_id)


def _about(fact: AuthFact) -> str:
    match fact:
        case UserCreated():
            return fact.user_id
        case WorkspaceCreated():
            return fact.workspace_id
        case TokenCreated() | TokenRevoked():
            return fact.token_id

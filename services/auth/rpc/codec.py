"""Auth's things as protobuf messages, and back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from libs.kernel.context import Role
from libs.kernel.errors import Invalid
from libs.protogen.lightrail.auth.v1 import auth_pb2
from libs.protogen.lightrail.common.v1 import authorization_pb2
from services.auth.domain.model import Scope, Token, User, Workspace


def timestamp(moment: datetime | None) -> Timestamp | None:
    """Returns the moment as a message; None stays unset."""
    if moment is None:
        return None
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def wire_role(role: Role) -> authorization_pb2.Role.ValueType:
    """Returns the role as it is named on the wire."""
    return authorization_pb2.Role.Value(f"ROLE_{role.name}")


def role(number: int) -> Role:
    """Returns the role; Invalid for a number that stands for none."""
    try:
        return Role(number)
    except ValueError:
        raise Invalid(f"There is no role with the number {number}.", field="role") from None


def user(account: User) -> auth_pb2.User:
    """Returns the account as a message."""
    return auth_pb2.User(
        id=account.id,
        email=account.email,
        name=account.name,
        operator=account.operator,
        created_at=timestamp(account.created_at),
    )


def workspace(thing: Workspace, mine: Role) -> auth_pb2.Workspace:
    """Returns the workspace as a message, with the caller's role in it."""
    return auth_pb2.Workspace(
        id=thing.id, name=thing.name, role=wire_role(mine), created_at=timestamp(thing.created_at)
    )


def workspaces(pairs: Iterable[tuple[Workspace, Role]]) -> list[auth_pb2.Workspace]:
    """Returns each workspace as a message."""
    return [workspace(thing, mine) for thing, mine in pairs]


def token(thing: Token) -> auth_pb2.Token:
    """Returns the token as a message, without its secret."""
    return auth_pb2.Token(
        id=thing.id,
        name=thing.name,
        prefix=thing.prefix,
        workspace_id=thing.scope.workspace_id,
        project_id=thing.scope.project_id,
        environment_id=thing.scope.environment_id,
        role=wire_role(thing.scope.role),
        created_at=timestamp(thing.created_at),
        expires_at=timestamp(thing.expires_at),
        last_used_at=timestamp(thing.last_used_at),
    )


def scope(request: auth_pb2.CreateTokenRequest) -> Scope:
    """Returns the scope that is asked for."""
    return Scope(request.workspace_id, request.project_id, request.environment_id, role(request.role))

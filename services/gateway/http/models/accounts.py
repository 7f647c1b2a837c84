"""Users, workspaces, sessions and tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from libs.protogen.lightrail.auth.v1 import auth_pb2
from services.gateway.http.models.base import (
    INT32,
    Answered,
    Asked,
    Email,
    EnvironmentId,
    Name,
    Password,
    ProjectId,
    Text,
    WorkspaceId,
)
from services.gateway.http.wire import always, moment, role_name, text

RoleName = Literal["viewer", "developer", "admin", "owner"]


class User(Answered):
    """An account."""

    id: str
    email: str
    name: str
    operator: bool = Field(description="Whether this is an operator of the platform.")
    created_at: datetime

    @classmethod
    def of(cls, wire: auth_pb2.User) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            email=wire.email,
            name=wire.name,
            operator=wire.operator,
            created_at=always(wire, "created_at"),
        )


class Workspace(Answered):
    """A workspace, and the caller's role in it."""

    id: str
    name: str
    role: str
    created_at: datetime

    @classmethod
    def of(cls, wire: auth_pb2.Workspace) -> Self:
        """Reads it from its message."""
        return cls(id=wire.id, name=wire.name, role=role_name(wire.role), created_at=always(wire, "created_at"))


class Token(Answered):
    """An API token as it may be shown again: never the secret."""

    id: str
    name: str
    prefix: str = Field(description="First characters of the secret, to recognise it by.")
    workspace_id: str | None = Field(description="Null: an account token.")
    project_id: str | None
    environment_id: str | None
    role: str
    created_at: datetime
    expires_at: datetime | None = Field(description="Null: never.")
    last_used_at: datetime | None

    @classmethod
    def of(cls, wire: auth_pb2.Token) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            name=wire.name,
            prefix=wire.prefix,
            workspace_id=text(wire.workspace_id),
            project_id=text(wire.project_id),
            environment_id=text(wire.environment_id),
            role=role_name(wire.role),
            created_at=always(wire, "created_at"),
            expires_at=moment(wire, "expires_at"),
            last_used_at=moment(wire, "last_used_at"),
        )


class SetupStatus(Answered):
    """Whether the first account exists yet."""

    claimed: bool


class SetupRequest(Asked):
    """The first account, the operator's."""

    setup_token: Password = Field(description="The one-time token the platform printed on its first start.")
    email: Email
    password: Password
    name: Text = ""


class LoginRequest(Asked):
    """E-mail and password."""

    email: Email
    password: Password


class Session(Answered):
    """A session that has begun; send `session_token` as the bearer."""

    session_token: str
    user: User
    workspace: Workspace | None = None
    expires_at: datetime | None = None


class Me(Answered):
    """Who the credential stands for."""

    user: User
    workspaces: list[Workspace]
    token: Token | None = Field(default=None, description="Set when the caller holds an API token.")

    @classmethod
    def of(cls, wire: auth_pb2.GetMeResponse) -> Self:
        """Reads it from its message."""
        return cls(
            user=User.of(wire.user),
            workspaces=[Workspace.of(row) for row in wire.workspaces],
            token=Token.of(wire.token) if wire.HasField("token") else None,
        )


class NewUser(Asked):
    """An account to add, with its own workspace."""

    email: Email
    password: Password
    name: Text = ""


class CreatedUser(Answered):
    """An account that was added."""

    user: User
    workspace: Workspace


class NewWorkspace(Asked):
    """A workspace to make; the caller becomes its owner."""

    name: Name


class Member(Asked):
    """A person's role in a workspace."""

    email: Email
    role: RoleName | None = Field(description="Null removes the member.")


class NewToken(Asked):
    """A token to make: for the account, or narrower."""

    name: Name
    workspace_id: WorkspaceId | None = None
    project_id: ProjectId | None = None
    environment_id: EnvironmentId | None = None
    role: RoleName | None = Field(default=None, description="Null: the caller's own role.")
    lifetime_seconds: int | None = Field(default=None, ge=1, le=INT32, description="Null: never expires.")


class CreatedToken(Answered):
    """A token that was made. `secret` is shown this once."""

    token: Token
    secret: str

"""What auth tells the other services."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class UserCreated:
    """An account exists, with a workspace of its own."""

    user_id: str
    email: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class WorkspaceCreated:
    """A workspace exists."""

    workspace_id: str
    name: str


@dataclass(frozen=True, slots=True)
class TokenCreated:
    """An API token exists."""

    token_id: str
    user_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class TokenRevoked:
    """An API token is no longer good."""

    token_id: str
    user_id: str
    workspace_id: str


AuthFact = UserCreated | WorkspaceCreated | TokenCreated | TokenRevoked

"""The things auth keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from libs.kernel.context import Role

# A signed identity lives this long, so a revoked token is refused everywhere within it.
IDENTITY_LIFETIME: Final = timedelta(seconds=60)
# A session ends this long after it was last used.
SESSION_LIFETIME: Final = timedelta(days=30)
# How often the use of a credential is written down.
USE_RESOLUTION: Final = timedelta(minutes=1)
# Ended sessions are kept this long, so that their holder reads why they ended.
SESSION_MEMORY: Final = timedelta(days=7)
TOKENS_PER_USER: Final = 100
WORKSPACES_PER_USER: Final = 50


@dataclass(frozen=True, slots=True)
class User:
    """An account. `email` is lower-case and unique; an `operator` runs this platform."""

    id: str
    email: str
    name: str
    operator: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Workspace:
    """What projects belong to and members share."""

    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """How far a credential reaches: empty ids do not narrow, `role` caps the role of its user."""

    workspace_id: str = ""
    project_id: str = ""
    environment_id: str = ""
    role: Role = Role.OWNER


# What a session may do: all that its user may.
EVERYTHING: Final = Scope()


@dataclass(frozen=True, slots=True)
class Token:
    """An API token, without its secret."""

    id: str
    user_id: str
    name: str
    # The first characters of the secret, to recognise it by.
    prefix: str
    scope: Scope
    # The token that made this one, if any: they are revoked together.
    parent_id: str | None
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A sign-in, without its secret."""

    id: str
    user_id: str
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Whoever holds a credential: its user and their role in each workspace."""

    user: User
    roles: Mapping[str, Role]

"""What the use cases need from outside."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.kernel.clock import Clock
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.secret import Secret
from services.auth.app.attempts import Attempts
from services.auth.domain.facts import AuthFact
from services.auth.domain.model import Holder, Scope, Session, Token, User, Workspace


class Work(Protocol):
    """Opens a transaction, or joins the one that runs."""

    def __call__(self) -> AbstractAsyncContextManager[object]:
        """All that is saved inside is saved together or not at all."""
        ...


class Users(Protocol):
    """Accounts and their password hashes."""

    async def claim(self, user_id: str, at: datetime) -> None:
        """Marks the platform as set up by this user. Conflict when it already is."""
        ...

    async def claimed(self) -> bool:
        """Whether the platform is set up."""
        ...

    async def add(self, user: User, password_hash: str) -> None:
        """Saves a new account. Conflict when the e-mail address has one."""
        ...

    async def get(self, user_id: str) -> User | None:
        """The account with this id."""
        ...

    async def by_email(self, email: str) -> tuple[User, str] | None:
        """The account with this address, and its password hash."""
        ...

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replaces the hash."""
        ...


class Workspaces(Protocol):
    """Workspaces and their members."""

    async def add(self, workspace: Workspace, owner_id: str) -> None:
        """Saves a new workspace with its first owner."""
        ...

    async def of(self, user_id: str) -> Sequence[tuple[Workspace, Role]]:
        """The workspaces a user is a member of, oldest first, each with their role."""
        ...

    async def members(self, workspace_id: str) -> dict[str, Role]:
        """User id → role. Nobody else changes the members until the transaction ends."""
        ...

    async def set_member(self, workspace_id: str, user_id: str, role: Role, at: datetime) -> None:
        """Adds, changes or (NONE) removes a member."""
        ...


class Tokens(Protocol):
    """API tokens, by the digest of their secret."""

    async def add(self, token: Token, digest: bytes) -> None:
        """Saves a new token."""
        ...

    async def holder(self, digest: bytes) -> tuple[Token, Holder] | None:
        """The token with this digest and who holds it, also when it is no longer good."""
        ...

    async def get(self, token_id: str) -> Token | None:
        """The token with this id."""
        ...

    async def of(self, user_id: str) -> Sequence[Token]:
        """A user's tokens that are not revoked, newest first."""
        ...

    async def used(self, token_id: str, at: datetime) -> None:
        """Remembers a use; an earlier time never replaces a later one."""
        ...

    async def revoke(self, token_id: str, at: datetime) -> Sequence[Token]:
        """Revokes a token and all that it made, and theirs; gives those that were still good."""
        ...


class Sessions(Protocol):
    """Sign-ins, by the digest of their secret."""

    async def add(self, session: Session, digest: bytes) -> None:
        """Saves a new session."""
        ...

    async def holder(self, digest: bytes) -> tuple[Session, Holder] | None:
        """The session with this digest and who holds it, also when it is no longer good."""
        ...

    async def used(self, session_id: str, at: datetime, expires_at: datetime) -> None:
        """Remembers a use and moves the end; neither ever goes back."""
        ...

    async def end(self, digest: bytes, at: datetime) -> None:
        """Ends the session; harmless when there is none or it has ended."""
        ...

    async def forget(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` sessions that ended or expired before; gives how many."""
        ...


class Facts(Protocol):
    """What auth tells others."""

    async def record(self, fact: AuthFact) -> None:
        """Told if and only if the running transaction commits."""
        ...


class Passwords(Protocol):
    """Slow hashes, made off the event loop."""

    async def hash(self, password: str) -> str:
        """The hash to store."""
        ...

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password; with None the same work is done and the answer is no."""
        ...

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with weaker settings than today's."""
        ...


class SetupToken(Protocol):
    """The one-time token that the platform printed when it first started."""

    async def matches(self, offered: str) -> bool:
        """Whether it is the token; takes the same time for every answer."""
        ...


class Doors(Protocol):
    """The authorization table."""

    def check(self, method: str, actor: Actor) -> None:
        """Denied when the actor may not knock at this RPC."""
        ...


class Signer(Protocol):
    """Makes signed identities."""

    def sign(self, actor: Actor, *, now: datetime, until: datetime) -> Secret[str]:
        """The identity of this actor, good until then."""
        ...


class Randomness(Protocol):
    """Bytes that nobody can guess."""

    def __call__(self, count: int, /) -> bytes:
        """So many of them."""
        ...


class Projects(Protocol):
    """The project service, which knows what a token may be bound to."""

    async def check(self, ctx: Ctx, scope: Scope) -> None:
        """Passes when the scope's project and environment are the caller's, in its workspace; NotFound otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """All that auth works with."""

    clock: Clock
    random: Randomness
    work: Work
    users: Users
    workspaces: Workspaces
    tokens: Tokens
    sessions: Sessions
    facts: Facts
    passwords: Passwords
    setup_token: SetupToken
    doors: Doors
    signer: Signer
    attempts: Attempts
    projects: Projects

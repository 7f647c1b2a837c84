"""Accounts, workspaces and credentials in memory, for unit tests: the same promises, gone with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from libs.kernel.context import Role
from libs.kernel.errors import Conflict
from services.auth.domain.facts import AuthFact
from services.auth.domain.model import Holder, Session, Token, User, Workspace


@dataclass(slots=True)
class Memory:
    """What a database would hold."""

    setup: list[str] = field(default_factory=list)
    users: dict[str, User] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    members: dict[tuple[str, str], Role] = field(default_factory=dict)
    tokens: dict[bytes, Token] = field(default_factory=dict)
    sessions: dict[bytes, Session] = field(default_factory=dict)
    facts: list[AuthFact] = field(default_factory=list)

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Puts everything back as it was when its body fails."""
        before = {each.name: copy(getattr(self, each.name)) for each in fields(self)}
        try:
            yield
        except BaseException:
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def holder(self, user_id: str) -> Holder:
        """The user and their roles."""
        roles = {workspace: role for (workspace, member), role in self.members.items() if member == user_id}
        return Holder(self.users[user_id], roles)


class MemoryUsers:
    """Accounts."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def claim(self, user_id: str, at: datetime) -> None:
        """Marks the platform as set up. Conflict when it already is."""
        del at
        if self._memory.setup:
            raise Conflict("It exists already.")
        self._memory.setup.append(user_id)

    async def claimed(self) -> bool:
        """Whether the platform is set up."""
        return bool(self._memory.setup)

    async def add(self, user: User, password_hash: str) -> None:
        """Saves a new account. Conflict when the address has one."""
        if await self.by_email(user.email):
            raise Conflict("It exists already.")
        self._memory.users[user.id] = user
        self._memory.hashes[user.id] = password_hash

    async def get(self, user_id: str) -> User | None:
        """The account with this id."""
        return self._memory.users.get(user_id)

    async def by_email(self, email: str) -> tuple[User, str] | None:
        """The account with this address, and its password hash."""
        for user in self._memory.users.values():
            if user.email == email:
                return user, self._memory.hashes[user.id]
        return None

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replaces the hash."""
        self._memory.hashes[user_id] = password_hash


class MemoryWorkspaces:
    """Workspaces and their members."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, workspace: Workspace, owner_id: str) -> None:
        """Saves a new workspace with its first owner."""
        self._memory.workspaces[workspace.id] = workspace
        self._memory.members[workspace.id, owner_id] = Role.OWNER

    async def of(self, user_id: str) -> Sequence[tuple[Workspace, Role]]:
        """The workspaces a user is a member of, oldest first, each with their role."""
        roles = self._memory.holder(user_id).roles
        return [(self._memory.workspaces[workspace], roles[workspace]) for workspace in sorted(roles)]

    async def members(self, workspace_id: str) -> dict[str, Role]:
        """User id → role."""
        return {user: role for (workspace, user), role in self._memory.members.items() if workspace == workspace_id}

    async def set_member(self, workspace_id: str, user_id: str, role: Role, at: datetime) -> None:
        """Adds, changes or (NONE) removes a member."""
        del at
        self._memory.members.pop((workspace_id, user_id), None)
        if role is not Role.NONE:
            self._memory.members[workspace_id, user_id] = role


class MemoryTokens:
    """API tokens."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, token: Token, digest: bytes) -> None:
        """Saves a new token."""
        self._memory.tokens[digest] = token

    async def holder(self, digest: bytes) -> tuple[Token, Holder] | None:
        """The token with this digest and who holds it, also when it is no longer good."""
        token = self._memory.tokens.get(digest)
        return (token, self._memory.holder(token.user_id)) if token else None

    async def get(self, token_id: str) -> Token | None:
        """The token with this id."""
        return next((token for token in self._memory.tokens.values() if token.id == token_id), None)

    async def of(self, user_id: str) -> Sequence[Token]:
        """A user's tokens that are not revoked, newest first."""
        mine = [token for token in self._memory.tokens.values() if token.user_id == user_id and not token.revoked_at]
        return sorted(mine, key=lambda token: token.id, reverse=True)

    async def used(self, token_id: str, at: datetime) -> None:
        """Remembers a use; an earlier time never replaces a later one."""
        for digest, token in self._memory.tokens.items():
            if token.id == token_id and (token.last_used_at is None or token.last_used_at < at):
                self._memory.tokens[digest] = replace(token, last_used_at=at)

    async def revoke(self, token_id: str, at: datetime) -> Sequence[Token]:
        """Revokes a token and all that it made, and theirs; gives those that were still good."""
        family = {token_id}
        while True:
            made = {token.id for token in self._memory.tokens.values() if token.parent_id in family} - family
            if not made:
                break
            family |= made
        revoked = []
        for digest, token in self._memory.tokens.items():
            if token.id in family and token.revoked_at is None:
                self._memory.tokens[digest] = replace(token, revoked_at=at)
                revoked.append(self._memory.tokens[digest])
        return revoked


class MemorySessions:
    """Sign-ins."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def add(self, session: Session, digest: bytes) -> None:
        """Saves a new session."""
        self._memory.sessions[digest] = session

    async def holder(self, digest: bytes) -> tuple[Session, Holder] | None:
        """The session with this digest and who holds it, also when it is no longer good."""
        session = self._memory.sessions.get(digest)
        return (session, self._memory.holder(session.user_id)) if session else None

    async def used(self, session_id: str, at: datetime, expires_at: datetime) -> None:
        """Remembers a use and moves the end; neither ever goes back."""
        for digest, session in self._memory.sessions.items():
            if session.id == session_id:
                self._memory.sessions[digest] = replace(
                    session,
                    last_used_at=max(session.last_used_at, at),
                    expires_at=max(session.expires_at, expires_at),
                )

    async def end(self, digest: bytes, at: datetime) -> None:
        """Ends the session; harmless when there is none or it has ended."""
        session = self._memory.sessions.get(digest)
        if session and session.ended_at is None:
            self._memory.sessions[digest] = replace(session, ended_at=at)

    async def forget(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` sessions that ended or expired before; gives how many."""
        ended = [
            digest
            for digest, session in self._memory.sessions.items()
            if min(session.expires_at, session.ended_at or session.expires_at) < before
        ][:limit]
        for digest in ended:
            del self._memory.sessions[digest]
        return len(ended)


class MemoryFacts:
    """Facts, in the order they were recorded."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def record(self, fact: AuthFact) -> None:
        """Keeps the fact."""
        self._memory.facts.append(fact)

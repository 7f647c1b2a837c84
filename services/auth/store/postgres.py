"""Accounts, workspaces and credentials in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from libs.db import Database, Row
from libs.kernel.context import Role
from services.auth.domain.model import Holder, Scope, Session, Token, User, Workspace

_OF_TOKENS: Final = (
    "t.id, t.user_id, t.name, t.prefix, t.workspace_id, t.project_id, t.environment_id, t.role, t.parent_id,"
    " t.created_at, t.expires_at, t.last_used_at, t.revoked_at"
)
_OF_SESSIONS: Final = "s.id, s.user_id, s.created_at, s.last_used_at, s.expires_at, s.ended_at"
# Whoever holds a credential, in the same round trip: every request of the platform asks this.
_HOLDER: Final = (
    "u.id as holder_id, u.email as holder_email, u.name as holder_name, u.operator as holder_operator,"
    " u.created_at as holder_created_at,"
    " (select coalesce(jsonb_object_agg(m.workspace_id, m.role), '{}') from memberships m where m.user_id = u.id)"
    " as holder_roles"
)


class PostgresUsers:
    """Accounts."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def claim(self, user_id: str, at: datetime) -> None:
        """Marks the platform as set up; the second waits for the first and then meets the Conflict."""
        await self._db.execute("insert into setup (user_id, claimed_at) values ($1, $2)", user_id, at)

    async def claimed(self) -> bool:
        """Whether the platform is set up."""
        return bool(await self._db.fetchval("select exists (select from setup)"))

    async def add(self, user: User, password_hash: str) -> None:
        """Saves a new account. Conflict when the address has one."""
        await self._db.execute(
            "insert into users (id, email, name, password_hash, operator, created_at) values ($1, $2, $3, $4, $5, $6)",
            user.id,
            user.email,
            user.name,
            password_hash,
            user.operator,
            user.created_at,
        )

    async def get(self, user_id: str) -> User | None:
        """The account with this id."""
        row = await self._db.fetchrow("select id, email, name, operator, created_at from users where id = $1", user_id)
        return User(**dict(row)) if row else None

    async def by_email(self, email: str) -> tuple[User, str] | None:
        """The account with this address, and its password hash."""
        row = await self._db.fetchrow(
            "select id, email, name, operator, created_at, password_hash from users where email = $1",
            email,
        )
        if row is None:
            return None
        fields = dict(row)
        password_hash = fields.pop("password_hash")
        return User(**fields), password_hash

    async def set_password_hash(self, user_id: str, password_hash: str) -> None:
        """Replaces the hash."""
        await self._db.execute("update users set password_hash = $2 where id = $1", user_id, password_hash)


class PostgresWorkspaces:
    """Workspaces and their members."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, workspace: Workspace, owner_id: str) -> None:
        """Saves a new workspace with its first owner."""
        async with self._db.tx() as tx:
            await tx.execute(
                "insert into workspaces (id, name, created_at) values ($1, $2, $3)",
                workspace.id,
                workspace.name,
                workspace.created_at,
            )
            await self.set_member(workspace.id, owner_id, Role.OWNER, workspace.created_at)

    async def of(self, user_id: str) -> Sequence[tuple[Workspace, Role]]:
        """The workspaces a user is a member of, oldest first, each with their role."""
        rows = await self._db.fetch(
            "select w.id, w.name, w.created_at, m.role from memberships m join workspaces w on w.id = m.workspace_id"
            " where m.user_id = $1 order by w.id",
            user_id,
        )
        return [(Workspace(row["id"], row["name"], row["created_at"]), Role(row["role"])) for row in rows]

    async def members(self, workspace_id: str) -> dict[str, Role]:
        """User id → role, under a lock on the workspace."""
        async with self._db.tx() as tx:
            await tx.execute("select from workspaces where id = $1 for update", workspace_id)
            rows = await tx.fetch("select user_id, role from memberships where workspace_id = $1", workspace_id)
        return {row["user_id"]: Role(row["role"]) for row in rows}

    async def set_member(self, workspace_id: str, user_id: str, role: Role, at: datetime) -> None:
        """Adds, changes or (NONE) removes a member."""
        if role is Role.NONE:
            await self._db.execute(
                "delete from memberships where workspace_id = $1 and user_id = $2",
                workspace_id,
                user_id,
            )
            return
        await self._db.execute(
            "insert into memberships (workspace_id, user_id, role, since) values ($1, $2, $3, $4)"
            " on conflict (workspace_id, user_id) do update set role = excluded.role",
            workspace_id,
            user_id,
            int(role),
            at,
        )


class PostgresTokens:
    """API tokens."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, token: Token, digest: bytes) -> None:
        """Saves a new token."""
        await self._db.execute(
            "insert into tokens (id, user_id, name, digest, prefix, workspace_id, project_id, environment_id, role,"
            " parent_id, created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            token.id,
            token.user_id,
            token.name,
            digest,
            token.prefix,
            token.scope.workspace_id,
            token.scope.project_id,
            token.scope.environment_id,
            int(token.scope.role),
            token.parent_id,
            token.created_at,
            token.expires_at,
        )

    async def holder(self, digest: bytes) -> tuple[Token, Holder] | None:
        """The token with this digest and who holds it, also when it is no longer good."""
        row = await self._db.fetchrow(
            f"select {_OF_TOKENS}, {_HOLDER} from tokens t join users u on u.id = t.user_id where t.digest = $1",  # noqa: S608 - constants
            digest,
        )
        return (_token(row), _holder(row)) if row else None

    async def get(self, token_id: str) -> Token | None:
        """The token with this id."""
        row = await self._db.fetchrow(f"select {_OF_TOKENS} from tokens t where t.id = $1", token_id)  # noqa: S608 - the same
        return _token(row) if row else None

    async def of(self, user_id: str) -> Sequence[Token]:
        """A user's tokens that are not revoked, newest first."""
        rows = await self._db.fetch(
            f"select {_OF_TOKENS} from tokens t where t.user_id = $1 and t.revoked_at is null order by t.id desc",  # noqa: S608 - the same
            user_id,
        )
        return [_token(row) for row in rows]

    async def used(self, token_id: str, at: datetime) -> None:
        """Remembers a use; an earlier time never replaces a later one."""
        await self._db.execute(
            "update tokens set last_used_at = $2 where id = $1 and (last_used_at is null or last_used_at < $2)",
            token_id,
            at,
        )

    async def revoke(self, token_id: str, at: datetime) -> Sequence[Token]:
        """Revokes a token and all that it made, and theirs; gives those that were still good."""
        rows = await self._db.fetch(
            "with recursive made as ("  # noqa: S608 - the same
            " select id from tokens where id = $1"
            " union select child.id from tokens child join made on child.parent_id = made.id)"
            " update tokens t set revoked_at = $2 from made where t.id = made.id and t.revoked_at is null"
            f" returning {_OF_TOKENS}",
            token_id,
            at,
        )
        return [_token(row) for row in rows]


class PostgresSessions:
    """Sign-ins."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, session: Session, digest: bytes) -> None:
        """Saves a new session."""
        await self._db.execute(
            "insert into sessions (id, user_id, digest, created_at, last_used_at, expires_at)"
            " values ($1, $2, $3, $4, $5, $6)",
            session.id,
            session.user_id,
            digest,
            session.created_at,
            session.last_used_at,
            session.expires_at,
        )

    async def holder(self, digest: bytes) -> tuple[Session, Holder] | None:
        """The session with this digest and who holds it, also when it is no longer good."""
        row = await self._db.fetchrow(
            f"select {_OF_SESSIONS}, {_HOLDER}"  # noqa: S608 - constants
            " from sessions s join users u on u.id = s.user_id where s.digest = $1",
            digest,
        )
        if row is None:
            return None
        session = Session(**{name: value for name, value in row.items() if not name.startswith("holder_")})
        return session, _holder(row)

    async def used(self, session_id: str, at: datetime, expires_at: datetime) -> None:
        """Remembers a use and moves the end; neither ever goes back."""
        await self._db.execute(
            "update sessions set last_used_at = greatest(last_used_at, $2), expires_at = greatest(expires_at, $3)"
            " where id = $1",
            session_id,
            at,
            expires_at,
        )

    async def end(self, digest: bytes, at: datetime) -> None:
        """Ends the session; harmless when there is none or it has ended."""
        await self._db.execute(
            "update sessions set ended_at = $2 where digest = $1 and ended_at is null",
            digest,
            at,
        )

    async def forget(self, before: datetime, limit: int) -> int:
        """Deletes at most `limit` sessions that ended or expired before; gives how many."""
        return await self._db.execute(
            "delete from sessions where id in ("
            " select id from sessions where least(expires_at, ended_at) < $1 limit $2 for update skip locked)",
            before,
            limit,
        )


def _token(row: Row) -> Token:
    return Token(
        id=row["id"],
        user_id=row["user_id"],
        name=row["name"],
        prefix=row["prefix"],
        scope=Scope(row["workspace_id"], row["project_id"], row["environment_id"], Role(row["role"])),
        parent_id=row["parent_id"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )


def _holder(row: Row) -> Holder:
    user = User(
        row["holder_id"],
        row["holder_email"],
        row["holder_name"],
        row["holder_operator"],
        row["holder_created_at"],
    )
    return Holder(user, {workspace: Role(role) for workspace, role in row["holder_roles"].items()})

"""A credential becomes a signed identity."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from libs.kernel.context import Actor, Ctx
from libs.kernel.secret import Secret
from services.auth.app.ports import Parts
from services.auth.domain import credentials
from services.auth.domain.credentials import Kind
from services.auth.domain.model import SESSION_LIFETIME
from services.auth.domain.scope import narrowed


@dataclass(frozen=True, slots=True)
class Authorized:
    """A signed identity and when it ends."""

    identity: Secret[str]
    expires_at: datetime


async def authorize(_ctx: Ctx, parts: Parts, credential: str, method: str) -> Authorized:
    """Exchanges a session or API token for an identity that may call `method` ("" only identifies).

    Denied (unauthenticated) says what is wrong with the credential: malformed, unknown, expired, revoked, signed out.
    Denied otherwise when the credential is good but this RPC is not for its holder.
    """
    kind = credentials.kind_of(credential)
    hashed = credentials.digest(credential)
    now = parts.clock.now()
    actor, expires_at = await (_by_token(parts, hashed, now) if kind is Kind.TOKEN else _by_session(parts, hashed, now))
    if method:
        parts.doors.check(method, actor)
    until = credentials.identity_until(expires_at, now)
    return Authorized(parts.signer.sign(actor, now=now, until=until), until)


async def _by_token(parts: Parts, hashed: bytes, now: datetime) -> tuple[Actor, datetime | None]:
    found = await parts.tokens.holder(hashed)
    if found is None:
        raise credentials.unknown(Kind.TOKEN)
    token, holder = found
    credentials.check_token(token, now)
    if credentials.use_is_due(token.last_used_at, now):
        await parts.tokens.used(token.id, now)
    return narrowed(holder, token), token.expires_at


async def _by_session(parts: Parts, hashed: bytes, now: datetime) -> tuple[Actor, datetime]:
    found = await parts.sessions.holder(hashed)
    if found is None:
        raise credentials.unknown(Kind.SESSION)
    session, holder = found
    credentials.check_session(session, now)
    if not credentials.use_is_due(session.last_used_at, now):
        return narrowed(holder, None), session.expires_at
    expires_at = now + SESSION_LIFETIME
    await parts.sessions.used(session.id, now, expires_at)
    return narrowed(holder, None), expires_at

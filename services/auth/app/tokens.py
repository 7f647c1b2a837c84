"""API tokens: made, listed, revoked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.kernel.errors import Exhausted, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from services.auth.app.caller import caller
from services.auth.app.ports import Parts
from services.auth.domain import inputs
from services.auth.domain.credentials import RANDOM_BYTES, SHOWN_CHARACTERS, Kind, digest, spell
from services.auth.domain.facts import TokenCreated, TokenRevoked
from services.auth.domain.model import TOKENS_PER_USER, Scope, Token
from services.auth.domain.scope import covers, granted, lifetime_granted

LONGEST_LIFETIME: Final = timedelta(days=3_650)
SHORTEST_LIFETIME: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token and its secret, which is shown once."""

    token: Token
    secret: Secret[str]


async def create_token(ctx: Ctx, parts: Parts, name: str, asked: Scope, lifetime_seconds: int) -> NewToken:
    """Makes a token that may do at most what the caller's own credential may. 0 seconds: it does not expire.

    Invalid names the input at fault, NotFound when the workspace, project or environment is not theirs, Denied when
    it reaches too far, Exhausted when they have too many.
    """
    who = await caller(ctx, parts)
    clean = inputs.name(name, of="token")
    scope = granted(asked, maker=who.scope, roles=ctx.actor.roles)
    if scope.project_id:
        await parts.projects.check(ctx, scope)
    now = parts.clock.now()
    expires_at = _end(parts.clock, lifetime_seconds)
    lifetime_granted(expires_at, maker=who.token)
    secret = spell(Kind.TOKEN, parts.random(RANDOM_BYTES))
    token = Token(
        id=new_id("token", parts.clock),
        user_id=who.user.id,
        name=clean,
        prefix=secret.reveal()[:SHOWN_CHARACTERS],
        scope=scope,
        parent_id=who.token.id if who.token else None,
        created_at=now,
        expires_at=expires_at,
    )
    async with parts.work():
        if len(await parts.tokens.of(who.user.id)) >= TOKENS_PER_USER:
            raise Exhausted(f"You have {TOKENS_PER_USER} API tokens, which is the most.", hint="Revoke one first.")
        await parts.tokens.add(token, digest(secret.reveal()))
        await parts.facts.record(TokenCreated(token.id, who.user.id, scope.workspace_id))
    return NewToken(token, secret)


async def list_tokens(ctx: Ctx, parts: Parts) -> Sequence[Token]:
    """Returns the caller's own tokens, newest first; a token sees only those that reach no further than itself."""
    who = await caller(ctx, parts)
    return [token for token in await parts.tokens.of(who.user.id) if covers(who.scope, token.scope)]


async def revoke_token(ctx: Ctx, parts: Parts, token_id: str) -> None:
    """Ends a token and every token it made; harmless when it has ended. NotFound when it is not the caller's to see."""
    who = await caller(ctx, parts)
    async with parts.work():
        token = await parts.tokens.get(token_id)
        if token is None or token.user_id != who.user.id or not covers(who.scope, token.scope):
            raise NotFound(f"Token {token_id[:64]} does not exist, or is not yours to see.")
        for revoked in await parts.tokens.revoke(token_id, parts.clock.now()):
            await parts.facts.record(TokenRevoked(revoked.id, revoked.user_id, revoked.scope.workspace_id))


def _end(clock: Clock, lifetime_seconds: int) -> datetime | None:
    if lifetime_seconds == 0:
        return None
    if not SHORTEST_LIFETIME.total_seconds() <= lifetime_seconds <= LONGEST_LIFETIME.total_seconds():
        raise Invalid(
            "A token lives between one minute and ten years.",
            field="lifetime_seconds",
            hint="0 makes one that does not expire.",
        )
    return clock.now() + timedelta(seconds=lifetime_seconds)

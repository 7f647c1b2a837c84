"""The person behind a call."""

from __future__ import annotations

from dataclasses import dataclass

from libs.kernel.context import Ctx
from libs.kernel.errors import Denied
from services.auth.app.ports import Parts
from services.auth.domain.credentials import Kind, check_token, unknown
from services.auth.domain.model import EVERYTHING, Scope, Token, User


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with an account, and the token they used, if any."""

    user: User
    token: Token | None

    @property
    def scope(self) -> Scope:
        """How far the credential reaches."""
        return self.token.scope if self.token else EVERYTHING


async def caller(ctx: Ctx, parts: Parts) -> Caller:
    """Returns who calls. Denied for platform services, and when account or token ended after the identity was made."""
    if ctx.actor.kind != "user":
        raise Denied("This is for people with an account; the caller is a part of the platform.")
    user = await parts.users.get(ctx.actor.id)
    if user is None:
        raise Denied("This account no longer exists.", unauthenticated=True)
    if not ctx.actor.token_id:
        return Caller(user, None)
    token = await parts.tokens.get(ctx.actor.token_id)
    if token is None or token.user_id != user.id:
        raise unknown(Kind.TOKEN)
    check_token(token, parts.clock.now())
    return Caller(user, token)

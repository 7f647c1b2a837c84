"""Signing in and out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import Denied, Invalid
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from services.auth.app.ports import Parts
from services.auth.domain import inputs
from services.auth.domain.credentials import RANDOM_BYTES, Kind, digest, spell
from services.auth.domain.model import SESSION_LIFETIME, SESSION_MEMORY, Session, User

FORGOTTEN_AT_ONCE: Final = 1_000
# Characters of a network address, with a zone.
LONGEST_PLACE: Final = 64


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new session; `secret` is shown once."""

    secret: Secret[str]
    user: User
    session: Session


async def login(ctx: Ctx, parts: Parts, email: str, password: str, place: str) -> SignedIn:
    """Opens a session for whoever knows the password.

    `place` is where the attempt comes from; it is fully believed only from the platform's own services, since anybody
    else could write a new one each time. Denied with the same words and the same work for a wrong address and a wrong
    password; Exhausted after too many attempts.
    """
    try:
        address = inputs.email(email)
    except Invalid:
        raise Invalid("That is no e-mail address.", field="email") from None
    if len(password) > inputs.LONGEST_PASSWORD:
        raise _refused()
    place, vouched = place[:LONGEST_PLACE], ctx.actor.kind == "service"
    parts.attempts.begin(address, place, vouched=vouched)
    found = await parts.users.by_email(address)
    normal = inputs.normal(password)
    known = found[1] if found else None
    if not await parts.passwords.matches(known, normal) or found is None:
        raise _refused()
    parts.attempts.succeeded(address, place, vouched=vouched)
    user, password_hash = found
    fresh = await parts.passwords.hash(normal) if parts.passwords.outdated(password_hash) else None
    async with parts.work():
        if fresh:
            await parts.users.set_password_hash(user.id, fresh)
        return await open_session(parts, user)


async def logout(_ctx: Ctx, parts: Parts, credential: str) -> None:
    """Ends the session; harmless when it has ended. Invalid when it is an API token."""
    if credential.startswith(Kind.TOKEN.value):
        raise Invalid("An API token is revoked, not signed out.", field="session_token")
    await parts.sessions.end(digest(credential), parts.clock.now())


async def open_session(parts: Parts, user: User) -> SignedIn:
    """Saves a new session of this user in the running transaction."""
    now = parts.clock.now()
    secret = spell(Kind.SESSION, parts.random(RANDOM_BYTES))
    session = Session(new_id("session", parts.clock), user.id, now, now, now + SESSION_LIFETIME)
    await parts.sessions.add(session, digest(secret.reveal()))
    return SignedIn(secret, user, session)


async def forget_sessions(_ctx: Ctx, parts: Parts) -> bool:
    """Deletes some sessions that ended long ago; returns whether there may be more."""
    before = parts.clock.now() - SESSION_MEMORY
    return await parts.sessions.forget(before, FORGOTTEN_AT_ONCE) == FORGOTTEN_AT_ONCE


def _refused() -> Denied:
    return Denied(
        "The e-mail address or the password is wrong.",
        unauthenticated=True,
        hint="If the password is lost, ask the operator of this platform.",
    )

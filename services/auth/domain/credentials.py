"""The two credentials people and programs hold, and when each is good."""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import datetime
from enum import Enum
from typing import Final

from libs.kernel.errors import Denied
from libs.kernel.secret import Secret
from services.auth.domain.model import IDENTITY_LIFETIME, SESSION_LIFETIME, USE_RESOLUTION, Session, Token

# Random bytes in a credential: nobody guesses 256 bits, so a plain hash of it may be stored.
RANDOM_BYTES: Final = 32
SHOWN_CHARACTERS: Final = 10
_SHAPE: Final = re.compile(r"(lr|ls)_[A-Za-z0-9_-]{43}", re.ASCII)


class Kind(Enum):
    """What a credential is; the value is how it begins."""

    TOKEN = "lr_"  # noqa: S105 - a prefix, not a secret
    SESSION = "ls_"


def spell(kind: Kind, random: bytes) -> Secret[str]:
    """Returns the credential made of these random bytes."""
    return Secret(kind.value + base64.urlsafe_b64encode(random).rstrip(b"=").decode())


def digest(credential: str) -> bytes:
    """Returns what is stored of a credential: its SHA-256."""
    return hashlib.sha256(credential.encode()).digest()


def kind_of(credential: str) -> Kind:
    """Returns what a text claims to be. Denied (unauthenticated) when it has the shape of neither."""
    if not credential:
        raise Denied("No credential came with the call.", unauthenticated=True, hint="Sign in, or send an API token.")
    if not _SHAPE.fullmatch(credential):
        raise Denied(
            "The credential is malformed: API tokens begin with lr_, sessions with ls_; both have 46 characters.",
            unauthenticated=True,
            hint="Check that it was copied whole.",
        )
    return Kind(credential[:3])


def unknown(kind: Kind) -> Denied:
    """Returns the refusal of a credential that is stored nowhere."""
    if kind is Kind.TOKEN:
        return Denied("This platform knows no such API token.", unauthenticated=True, hint="Make a new one.")
    return Denied("This platform knows no such session.", unauthenticated=True, hint="Sign in again.")


def check_token(token: Token, now: datetime) -> None:
    """Returns when the token is good. Denied (unauthenticated) when it is revoked or expired."""
    if token.revoked_at is not None:
        raise Denied(
            f"The API token “{token.name}” was revoked on {_day(token.revoked_at)}.",
            unauthenticated=True,
            hint="Make a new one.",
        )
    if token.expires_at is not None and token.expires_at <= now:
        raise Denied(
            f"The API token “{token.name}” expired on {_day(token.expires_at)}.",
            unauthenticated=True,
            hint="Make a new one.",
        )


def check_session(session: Session, now: datetime) -> None:
    """Returns when the session is good. Denied (unauthenticated) when it was ended or has expired."""
    if session.ended_at is not None:
        raise Denied("This session was signed out.", unauthenticated=True, hint="Sign in again.")
    if session.expires_at <= now:
        raise Denied(
            f"This session expired: it was not used for {SESSION_LIFETIME.days} days.",
            unauthenticated=True,
            hint="Sign in again.",
        )


def identity_until(expires_at: datetime | None, now: datetime) -> datetime:
    """Returns when an identity made now has to end: soon, and never after the credential behind it."""
    end = now + IDENTITY_LIFETIME
    return end if expires_at is None else min(end, expires_at)


def use_is_due(last_used_at: datetime | None, now: datetime) -> bool:
    """Whether the use of a credential is to be written down again."""
    return last_used_at is None or now - last_used_at >= USE_RESOLUTION


def _day(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d at %H:%M UTC")

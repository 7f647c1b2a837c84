"""Problem documents back to failures, and what a silent or foreign server means."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound, Unavailable

_KINDS: Final[dict[str, type[Failure]]] = {
    "not_found": NotFound,
    "conflict": Conflict,
    "invalid": Invalid,
    "exhausted": Exhausted,
    "unavailable": Unavailable,
}
_AWAY: Final = frozenset(
    {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT, HTTPStatus.REQUEST_TIMEOUT}
)


class PlatformFault(Failure):
    """The platform made a mistake while answering: nothing the caller can mend or repeat."""

    kind = "internal"


class _Problem(msgspec.Struct):
    detail: str = ""
    status: int = 0
    kind: str = ""
    hint: str | None = None
    field: str | None = None
    request_id: str | None = None


def failure_of(status: int, body: bytes, *, api: str) -> Failure:
    """The failure an answer tells of; works for a problem document and for whatever a proxy in between says."""
    try:
        told = msgspec.json.decode(body, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        told = _Problem()
    if not told.detail:
        return _foreign(status, api)
    if told.kind == "denied":
        return Denied(told.detail, unauthenticated=(told.status or status) == HTTPStatus.UNAUTHORIZED, hint=told.hint)
    kind = _KINDS.get(told.kind, PlatformFault)
    return kind(told.detail, field=told.field, hint=told.hint)


def silent(api: str) -> Unavailable:
    """Nobody answers."""
    return Unavailable(f"No platform answers at {api}.", hint="Start one with: lr platform up --detach")


def interrupted(api: str) -> Unavailable:
    """The connection broke off in the middle of an answer."""
    return Unavailable(f"The connection to {api} broke off.", hint="Is the platform still running? lr platform status")


def _foreign(status: int, api: str) -> Failure:
    if status in _AWAY:
        return Unavailable(f"The platform at {api} is not ready to answer ({status}).", hint="Try again in a moment.")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return Exhausted("What was sent is larger than the platform takes.")
    return NotFound(
        f"What answers at {api} is no Lightrail API ({status}).", hint="Set LIGHTRAIL_API to the platform's address."
    )

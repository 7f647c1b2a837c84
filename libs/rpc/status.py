"""Failures to gRPC status and back: the only place that knows both."""

from __future__ import annotations

from typing import Final

import grpc
import msgspec

from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound, Unavailable

TRAILER: Final = "lightrail-failure-bin"
# Characters of a message, and bytes of it on the wire, where each byte that is no plain ASCII is written as three:
# gRPC drops some calls whose metadata passes 8 KiB, at random, and all that pass 16.
LONGEST_MESSAGE: Final = 1500
LONGEST_ON_THE_WIRE: Final = 4500
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {ord("%")}
_CODES: Final[dict[type[Failure], grpc.StatusCode]] = {
    NotFound: grpc.StatusCode.NOT_FOUND,
    Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    Denied: grpc.StatusCode.PERMISSION_DENIED,
    Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
}
_KINDS: Final = {code: kind for kind, code in _CODES.items()} | {
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.DEADLINE_EXCEEDED: Unavailable,
}


def code_of(failure: Failure) -> grpc.StatusCode:
    """The status a failure leaves as."""
    if isinstance(failure, Denied) and failure.unauthenticated:
        return grpc.StatusCode.UNAUTHENTICATED
    return _CODES[type(failure)]


def message_of(failure: Failure) -> str:
    """The failure's sentence, cut where it would break the call."""
    text = failure.message
    size = 0
    for place, character in enumerate(text):
        size += sum(1 if byte in _PLAIN else 3 for byte in character.encode(errors="replace"))
        if place == LONGEST_MESSAGE or size > LONGEST_ON_THE_WIRE:
            return f"{text[: place - 1]}…"
    return text


def trailer_of(failure: Failure) -> tuple[tuple[str, bytes], ...]:
    """What a status has no place for: the field and the hint."""
    return ((TRAILER, msgspec.json.encode({"field": failure.field, "hint": failure.hint and failure.hint[:500]})),)


def failure_of(error: grpc.aio.AioRpcError) -> Failure | None:
    """The failure behind a status, or None when it is no failure of ours (a bug, a cancelled call)."""
    extra: dict[str, str | None] = {}
    for key, value in error.trailing_metadata() or ():
        if key == TRAILER and isinstance(value, bytes):
            extra = msgspec.json.decode(value)
    message = error.details() or "The call failed."
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        return Denied(message, unauthenticated=True, hint=extra.get("hint"))
    kind = _KINDS.get(error.code())
    if kind is None:
        return None
    if kind is Denied:
        return Denied(message, hint=extra.get("hint"))
    if kind is Unavailable and not extra:
        return Unavailable("A part of the platform does not answer.", hint="Try again in a moment.")
    return kind(message, field=extra.get("field"), hint=extra.get("hint"))

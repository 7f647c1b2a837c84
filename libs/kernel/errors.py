"""The six ways anything here can fail. Only `Unavailable` is worth retrying."""

from __future__ import annotations


class Failure(Exception):  # noqa: N818 - the family's name; its members are named for what happened
    """A failure that a caller may be told about, as a sentence: what happened, why, what to do next."""

    kind = "failure"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        # The input at fault, as the caller named it.
        self.field = field
        # What to do next, when the message alone does not say.
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}" if self.hint else self.message


class NotFound(Failure):
    """No such thing, or not the caller's to see: the two are never told apart."""

    kind = "not_found"


class Conflict(Failure):
    """The thing is in a state that does not allow this."""

    kind = "conflict"


class Invalid(Failure):
    """The caller's input is wrong; the same call will fail again."""

    kind = "invalid"


class Denied(Failure):
    """The caller is known and may see the thing, but may not do this; or is not known at all."""

    kind = "denied"

    def __init__(self, message: str, *, unauthenticated: bool = False, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        # True: no valid credential came with the call.
        self.unauthenticated = unauthenticated


class Exhausted(Failure):
    """A limit is reached: size, count, rate, money."""

    kind = "exhausted"


class Unavailable(Failure):
    """Something the platform needs is away for now; the same call may succeed later."""

    kind = "unavailable"

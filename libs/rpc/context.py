"""The caller of the servicer method that is running."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from libs.kernel.context import Ctx

_current: ContextVar[Ctx | None] = ContextVar("lightrail-ctx", default=None)


def current() -> Ctx:
    """The context of this call; only inside a servicer method."""
    ctx = _current.get()
    if ctx is None:
        raise RuntimeError("there is no call under way in this task")
    return ctx


@contextmanager
def acting(ctx: Ctx) -> Iterator[None]:
    """Runs its body as the work of this call."""
    token = _current.set(ctx)
    try:
        yield
    finally:
        _current.reset(token)

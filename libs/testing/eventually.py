"""The only way a test waits."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")


@overload
async def eventually(claim: Callable[[], Awaitable[T]], *, within: float = ..., every: float = ...) -> T: ...
@overload
async def eventually(claim: Callable[[], T], *, within: float = ..., every: float = ...) -> T: ...
async def eventually(
    claim: Callable[[], T | Awaitable[T]],
    *,
    within: float = 10.0,
    every: float = 0.02,
) -> T:
    """Returns what `claim` returns once it stops raising AssertionError; after `within` seconds raises its last one.

    A claim that only returns False is taken as not yet true.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            result = claim()
            if inspect.isawaitable(result):
                result = await result
            assert result is not False, f"{getattr(claim, '__name__', claim)} is still false"
        except AssertionError:
            if time.monotonic() >= deadline:
                raise
        else:
            return result
        await asyncio.sleep(every)

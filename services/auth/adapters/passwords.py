"""Passwords by argon2id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type

from libs.kernel.errors import Exhausted

T = TypeVar("T")

# OWASP's password storage cheat sheet: argon2id with m=19 MiB, t=2, p=1. 36 ms on the machine this was measured on.
PASSES: Final = 2
MEMORY_KIB: Final = 19 * 1024
LANES: Final = 1
# Each hash under way holds 19 MiB and a core.
AT_ONCE: Final = 2
# Beyond this many in the queue a caller would wait longer than their deadline.
WAITING: Final = 64


class Argon2Passwords:
    """Hashes in two threads of its own, so that sign-ins never stop the event loop. Close it at the end."""

    def __init__(self, *, passes: int = PASSES, memory_kib: int = MEMORY_KIB) -> None:
        self._hasher = PasswordHasher(passes, memory_kib, LANES, type=Type.ID)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._under_way = 0
        # Compared with when there is no account: the same work, and no password has this hash.
        self._nobody = self._hasher.hash("there is no such account")

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def hash(self, password: str) -> str:
        """The hash to store, with its settings and a salt inside."""
        return await self._run(lambda: self._hasher.hash(password))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password; with None the same work is done and the answer is no."""
        return await self._run(lambda: self._matches(password_hash, password))

    def outdated(self, password_hash: str) -> bool:
        """Whether the hash was made with other settings than today's."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str | None, password: str) -> bool:
        try:
            self._hasher.verify(password_hash or self._nobody, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _run(self, work: Callable[[], T]) -> T:
        if self._under_way >= AT_ONCE + WAITING:
            raise Exhausted("Too many people sign in at this moment.", hint="Try again in a few seconds.")
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._under_way -= 1

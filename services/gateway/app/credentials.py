"""Remembers for a few seconds what auth said about a credential, so that a busy caller costs one question."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.secret import Secret
from services.gateway.app.ports import Admission, Doorkeeper

# A revoked token works at most this long after its revocation. Seconds.
LIFETIME: Final = 5.0
CAPACITY: Final = 4096


@dataclass(frozen=True, slots=True)
class _Kept:
    admission: Admission
    until: float


class Credentials:
    """A doorkeeper with a short memory. Refusals are not remembered: a repaired account works at once."""

    def __init__(self, doorkeeper: Doorkeeper, clock: Clock, *, lifetime: float = LIFETIME) -> None:
        self._doorkeeper = doorkeeper
        self._clock = clock
        self._lifetime = lifetime
        self._kept: OrderedDict[tuple[bytes, str], _Kept] = OrderedDict()

    async def admit(self, credential: Secret[str], method: str) -> Admission:
        """Tells who calls, from memory when that is younger than the lifetime. Denied as the doorkeeper says."""
        key = (_digest(credential), method)
        kept = self._kept.get(key)
        if kept is not None and self._clock.monotonic() < kept.until and self._clock.now() < kept.admission.expires_at:
            return kept.admission
        # Counted from before the question: the answer may be as old as that.
        until = self._clock.monotonic() + self._lifetime
        self._kept.pop(key, None)
        admission = await self._doorkeeper.admit(credential, method)
        self._kept[key] = _Kept(admission, until)
        while len(self._kept) > CAPACITY:
            self._kept.popitem(last=False)
        return admission

    def forget(self, credential: Secret[str]) -> None:
        """Drops what is known of a credential, as after a logout."""
        digest = _digest(credential)
        for key in [key for key in self._kept if key[0] == digest]:
            del self._kept[key]

    def forget_all(self) -> None:
        """Drops everything, as after a token was revoked or a member's role changed."""
        self._kept.clear()


def _digest(credential: Secret[str]) -> bytes:
    """The memory holds no usable credential."""
    return hashlib.sha256(credential.reveal().encode("utf-8", "surrogatepass")).digest()

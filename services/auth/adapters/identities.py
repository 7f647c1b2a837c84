"""The platform's authorization table and signing key."""

from __future__ import annotations

from datetime import datetime

from libs.kernel.context import Actor
from libs.kernel.secret import Secret
from libs.rpc import Identity
from libs.rpc.authorization import permits, rule


class TableDoors:
    """The rows beside the RPCs in proto/."""

    def check(self, method: str, actor: Actor) -> None:
        """Denied when the actor may not knock at this RPC, or when it has no row."""
        permits(rule(method), actor)


class KeySigner:
    """Signs with the key that every service verifies with."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def sign(self, actor: Actor, *, now: datetime, until: datetime) -> Secret[str]:
        """The identity of this actor, good until then."""
        return self._identity.sign(actor, lifetime=(until - now).total_seconds(), now=now)

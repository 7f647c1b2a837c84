"""Statements in the blob store, signed with the platform's key: outside every sandbox."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from libs.attest.dsse import IN_TOTO, seal
from libs.attest.keys import SigningKey
from libs.blobs.port import Blobs
from libs.kernel.errors import NotFound
from services.build.domain.model import canonical_json


@dataclass(frozen=True, slots=True)
class SignedAttestations:
    """Keeps each statement in a DSSE envelope."""

    blobs: Blobs
    key: SigningKey

    @property
    def public_key(self) -> str:
        """What signatures are checked with, in PEM."""
        return self.key.public.pem

    async def keep(self, statement: Mapping[str, Any]) -> str:
        """Signs a statement and stores it; gives the digest of the envelope."""
        blob = await self.blobs.put_bytes(seal(IN_TOTO, canonical_json(statement), self.key))
        return blob.digest

    def fingerprint(self, value: Mapping[str, Any]) -> str:
        """A hash under a key made of the signing key: without it, short secrets could be tried out."""
        key = hashlib.sha256(b"lightrail fingerprint\0" + self.key.pem.encode()).digest()
        return hmac.new(key, canonical_json(value), hashlib.sha256).hexdigest()

    async def read(self, digest: str) -> bytes:
        """An envelope; empty when it is not there."""
        if not digest:
            return b""
        try:
            return b"".join([chunk async for chunk in self.blobs.open_read(digest)])
        except NotFound:
            return b""

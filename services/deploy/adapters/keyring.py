"""Seals a deployment's variables in the platform's keyring."""

from __future__ import annotations

from libs.keyring.local import LocalKeyring


class DeploymentKeyring:
    """A box opens for the deployment it was sealed for."""

    def __init__(self, keyring: LocalKeyring) -> None:
        self._keyring = keyring

    async def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypts; `context` must be given again to open it."""
        return (await self._keyring.seal([((context,), plain)]))[0]

    async def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypts; Invalid when it was not sealed so."""
        return (await self._keyring.open([((context,), sealed)]))[0]

"""Seals secrets with AES-256-GCM under the platform's key."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.kernel.errors import Invalid

VERSION: Final = b"\x01"
NONCE: Final = 12
KEY: Final = 32


class LocalKeyring:
    """The key from a file that only its owner may read."""

    def __init__(self, key_file: Path) -> None:
        try:
            mode = stat.S_IMODE(key_file.stat().st_mode)
            key = base64.b64decode(key_file.read_text().strip(), validate=True)
        except (OSError, binascii.Error, ValueError) as error:
            raise Invalid(f"The secrets key at {key_file} cannot be used: {error}.") from error
        if mode & 0o077:
            raise Invalid(f"The secrets key at {key_file} can be read by others.", hint="Take it back with: chmod 600.")
        if len(key) != KEY or len(set(key)) < KEY // 4:
            raise Invalid(f"{key_file} holds no key but a placeholder.")
        self._cipher = AESGCM(key)

    def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypts; `context` must be given again to open it."""
        nonce = os.urandom(NONCE)
        return VERSION + nonce + self._cipher.encrypt(nonce, plain, _bound(context))

    def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypts; Invalid when it was not sealed so."""
        if sealed[:1] != VERSION:
            raise Invalid("This was sealed by another version of the platform.")
        try:
            return self._cipher.decrypt(sealed[1 : 1 + NONCE], sealed[1 + NONCE :], _bound(context))
        except InvalidTag as error:
            raise Invalid("This was sealed with another key, or has been changed.") from error


def _bound(context: str) -> bytes:
    return b"lightrail.deploy:" + context.encode()

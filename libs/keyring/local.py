"""The local keyring: AES-256-GCM envelopes under one key-encryption key from a file.

A box is: one byte of format, the wrapped data key (nonce, ciphertext, tag), the value (nonce, ciphertext, tag).
Every value has a data key of its own, so no data key ever sees two nonces; both layers are bound to the place the
value belongs to, so a box that is moved to another row does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret

# Where a value belongs, in parts.
Place = tuple[str, ...]
FORMAT: Final = b"\x01"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
WRAPPED_BYTES: Final = NONCE_BYTES + KEY_BYTES + TAG_BYTES
# Thirty-two random bytes hold fewer different ones than this less often than once in 10^15 keys.
FEWEST_DIFFERENT_BYTES: Final = 16
LONGEST_FILE: Final = 1024
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
HOW: Final = "Make one with: openssl rand -base64 32 > FILE; chmod 600 FILE."


class LocalKeyring:
    """Encrypts under a key-encryption key; what was sealed for one purpose opens for no other."""

    def __init__(self, key: Secret[bytes], purpose: str) -> None:
        self._key = AESGCM(key.reveal())
        self._id = hashlib.sha256(b"lightrail key id\0" + key.reveal()).hexdigest()[:16]
        self._purpose = purpose

    @classmethod
    def from_file(cls, path: Path, purpose: str) -> LocalKeyring:
        """Reads 32 bytes in base64; Invalid when the file is missing, readable by others, or holds no real key."""
        return cls(read_key(path), purpose)

    @property
    def key_id(self) -> str:
        """Tells keys apart; says nothing about the key."""
        return self._id

    async def seal(self, items: Sequence[tuple[Place, bytes]]) -> list[bytes]:
        """The ciphertext of each value, for its place, under a fresh data key."""
        return [self._sealed(plain, self._bound(place)) for place, plain in items]

    async def open(self, items: Sequence[tuple[Place, bytes]]) -> list[bytes]:
        """What each box holds; Invalid when one was changed, moved, or sealed with another key or purpose."""
        return [self._opened(box, self._bound(place)) for place, box in items]

    def _sealed(self, plain: bytes, bound: bytes) -> bytes:
        data_key = os.urandom(KEY_BYTES)
        wrap_nonce, nonce = os.urandom(NONCE_BYTES), os.urandom(NONCE_BYTES)
        wrapped = wrap_nonce + self._key.encrypt(wrap_nonce, data_key, bound)
        return FORMAT + wrapped + nonce + AESGCM(data_key).encrypt(nonce, plain, bound)

    def _opened(self, box: bytes, bound: bytes) -> bytes:
        if box[:1] != FORMAT or len(box) < 1 + WRAPPED_BYTES + NONCE_BYTES + TAG_BYTES:
            raise Invalid("A stored value is not in a form that this version can open.")
        wrapped, rest = box[1 : 1 + WRAPPED_BYTES], box[1 + WRAPPED_BYTES :]
        try:
            data_key = self._key.decrypt(wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:], bound)
            return AESGCM(data_key).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], bound)
        except InvalidTag as error:
            raise Invalid(
                "A stored value does not open: it was changed or moved, or belongs to another key.",
                hint="Start the platform with the secrets key it was encrypted with.",
            ) from error

    def _bound(self, place: Place) -> bytes:
        """Purpose and place as authenticated data; parts hold no zero byte, so no two places look alike."""
        if any("\0" in part for part in place):
            raise Invalid("The place of a value holds a zero byte.")
        return "\0".join((f"lightrail {self._purpose}", *place)).encode()


def read_key(path: Path) -> Secret[bytes]:
    """Reads the key-encryption key; Invalid when the file cannot be trusted to hold one."""
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            found = os.fstat(file.fileno())
            text = file.read(LONGEST_FILE).strip() if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        raise Invalid(f"The secrets key {path} cannot be read: {error.strerror}.", hint=HOW) from error
    if not stat.S_ISREG(found.st_mode):
        raise Invalid(f"The secrets key {path} is no regular file.", hint=HOW)
    if found.st_mode & OTHERS:
        raise Invalid(
            f"The secrets key {path} can be reached by others (mode {stat.S_IMODE(found.st_mode):04o}).",
            hint=f"Make it yours alone: chmod 600 {path}; if others may have seen it, take a new one.",
        )
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Invalid(f"The secrets key {path} is not base64.", hint=HOW) from error
    if len(key) != KEY_BYTES:
        raise Invalid(f"The secrets key {path} has {len(key)} bytes; it needs {KEY_BYTES}.", hint=HOW)
    if len(set(key)) < FEWEST_DIFFERENT_BYTES:
        raise Invalid(f"The secrets key {path} is a placeholder, not a random key.", hint=HOW)
    return Secret(key)


def _without_waiting(path: str, flags: int) -> int:
    """Opens a file; a pipe that nobody writes to does not hold the start up."""
    return os.open(path, flags | os.O_NONBLOCK)

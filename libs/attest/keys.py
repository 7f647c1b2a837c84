"""The platform's key for provenance: ECDSA on P-256. Build alone signs; everybody may check."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libs.kernel.errors import Invalid

_ALGORITHM: Final = ec.ECDSA(hashes.SHA256())
_LARGEST: Final = 16_384


@dataclass(frozen=True, slots=True)
class PublicKey:
    """Checks signatures."""

    key: ec.EllipticCurvePublicKey

    @classmethod
    def parse(cls, pem: bytes, name: str) -> PublicKey:
        """Reads a key in PEM; `name` is what people are told it is. Invalid when it is none of ours."""
        try:
            key = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError) as error:
            raise Invalid(f"{name} holds no public key.", hint="It reads -----BEGIN PUBLIC KEY-----.") from error
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise Invalid(f"{name} holds a key of another kind; provenance is signed with ECDSA on P-256.")
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Reads a file. Invalid when it cannot be read or holds something else."""
        return cls.parse(_content(path, private=False), str(path))

    @property
    def pem(self) -> str:
        """The key as text."""
        return self.key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ).decode()

    @property
    def id(self) -> str:
        """sha256 of the key itself, in hex: tells keys apart, and is never believed by itself."""
        der = self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    def signed(self, signature: bytes, message: bytes) -> bool:
        """Whether this key's other half signed the message."""
        try:
            self.key.verify(signature, message, _ALGORITHM)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """Signs."""

    key: ec.EllipticCurvePrivateKey

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Reads a PEM file that only its owner may read. Invalid says what is wrong with it."""
        try:
            key = serialization.load_pem_private_key(_content(path, private=True), password=None)
        except (ValueError, TypeError) as error:
            raise Invalid(f"{path} holds no private key.", hint="Start the platform: it makes a new one.") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise Invalid(f"{path} holds a key of another kind; provenance is signed with ECDSA on P-256.")
        return cls(key)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key, in memory only."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @property
    def pem(self) -> str:
        """The key as text: a secret."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def public(self) -> PublicKey:
        """The half that everybody may have."""
        return PublicKey(self.key.public_key())

    def sign(self, message: bytes) -> bytes:
        """The signature, in the ASN.1 form that other tools read."""
        return self.key.sign(message, _ALGORITHM)


def _content(path: Path, *, private: bool) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_LARGEST)
    except OSError as error:
        raise Invalid(f"The provenance key {path} cannot be read: {error.strerror}.") from error
    if private and mode & 0o077:
        raise Invalid(
            f"The provenance key {path} can be reached by others (mode {mode:04o}).",
            hint=f"Make it yours alone: chmod 600 {path}; if others may have seen it, remove it: a new one is made.",
        )
    return content

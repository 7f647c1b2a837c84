"""Makes ssh keys."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from libs.kernel.secret import Secret
from services.project.app.sources import KeyPair


def make_deploy_key(comment: str) -> KeyPair:
    """A new Ed25519 key; the comment stands behind its public half."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return KeyPair(f"{public} {comment}", Secret(private))

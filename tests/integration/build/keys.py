"""Keys for a platform of a test."""

from __future__ import annotations

from pathlib import Path

from libs.attest.keys import SigningKey


def provenance_key(home: Path) -> Path:
    """A new key that signs provenance, in a file of its own."""
    path = home / "provenance.pem"
    path.touch(mode=0o600)
    path.write_text(SigningKey.generate().pem, encoding="utf-8")
    return path

"""Settings of the project service; read by main only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from libs.config import setting


@dataclass(frozen=True, slots=True)
class Config:
    """What the environment says."""

    secrets_key_file: Path = setting(
        "LIGHTRAIL_SECRETS_KEY_FILE",
        doc="file (0600) with 32 random bytes in base64: the key under which variables are encrypted",
    )

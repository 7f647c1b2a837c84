"""Settings of auth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from libs.config import setting


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once, by main."""

    setup_token_file: Path | None = setting(
        "LIGHTRAIL_SETUP_TOKEN_FILE",
        default=None,
        parse=lambda text: Path(text).expanduser() if text.strip() else None,
        doc="file with the one-time set-up token, mode 0600; needed until the first account exists",
    )

"""Chance from the operating system."""

from __future__ import annotations

import secrets


class SystemRandomness:
    """Numbers nobody can predict."""

    def below(self, limit: int) -> int:
        """A number from 0 up to, but not including, `limit`."""
        return secrets.randbelow(limit)

"""The one-time set-up token, in the file where the platform put it when it first started."""

from __future__ import annotations

import asyncio
import hmac
import os
import stat
from pathlib import Path
from typing import Final

from libs.kernel.errors import Unavailable

# A file with fewer characters holds a placeholder, not 128 random bits.
SHORTEST: Final = 22
LONGEST: Final = 1_024


class SetupTokenFile:
    """Reads the token anew each time: it may be made after auth has started."""

    def __init__(self, path: Path | None) -> None:
        self._path = path

    async def matches(self, offered: str) -> bool:
        """Whether it is the token, compared in constant time. Unavailable when there is no usable token."""
        expected = await asyncio.to_thread(self._read)
        return hmac.compare_digest(expected.encode(), offered.encode())

    def _read(self) -> str:
        if self._path is None:
            raise Unavailable(
                "This platform has no set-up token.",
                hint="Its operator sets LIGHTRAIL_SETUP_TOKEN_FILE and starts it again.",
            )
        try:
            with self._path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(LONGEST)
        except OSError as error:
            raise Unavailable(
                f"The set-up token cannot be read: {error.strerror}.",
                hint=f"Its operator looks at {self._path}.",
            ) from error
        if mode & 0o077:
            raise Unavailable(
                f"The set-up token can be read by others (mode {mode:04o}), so it is not used.",
                hint=f"Its operator replaces {self._path} by a new one with mode 0600.",
            )
        token = content.decode(errors="replace").strip()
        if len(token) < SHORTEST:
            raise Unavailable(
                "The set-up token is a placeholder, so it is not used.",
                hint=f"Its operator writes at least {SHORTEST} random characters to {self._path}.",
            )
        return token

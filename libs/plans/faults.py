"""The user's faults of a build: results, not accidents."""

from __future__ import annotations

import re
from typing import Final

from libs.kernel.errors import Invalid

# Neither a database nor a terminal takes these: NUL, and halves of pairs.
_UNSPEAKABLE: Final = re.compile("[\0\ud800-\udfff]")


class BuildFault(Invalid):
    """The source cannot become an artifact until its owner changes something; the message says what."""

    kind = "invalid"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(speakable(message), field=field, hint=speakable(hint) if hint else hint)


def speakable(text: str) -> str:
    """The text with “\ufffd” for each character that cannot be kept or shown."""
    return _UNSPEAKABLE.sub("\ufffd", text)

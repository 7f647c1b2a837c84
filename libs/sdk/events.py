"""Server-sent events, read as the HTML standard has them."""

from __future__ import annotations

import codecs
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Final

# Characters one event may have: far above any, far below what would hurt.
LONGEST: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event; `id` is the last one seen, to resume after."""

    event: str
    data: str
    id: str


async def parse(pieces: AsyncIterator[bytes]) -> AsyncGenerator[ServerSentEvent, None]:
    """The events in a stream of bytes, however it was cut. An event without its empty line at the end is no event.

    ValueError when one is longer than LONGEST.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    held, name, data, last = "", "", list[str](), ""
    async for piece in pieces:
        held += decoder.decode(piece)
        if len(held) + sum(map(len, data)) > LONGEST:
            raise ValueError("An event is longer than any can be.")
        # A return at the very end may be half of a line break.
        whole = held.removesuffix("\r")
        *lines, rest = whole.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        held = rest + held[len(whole) :]
        for line in lines:
            if not line:
                if data:
                    yield ServerSentEvent(name or "message", "\n".join(data), last)
                name, data = "", []
                continue
            key, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if key == "event":
                name = value
            elif key == "data":
                data.append(value)
            elif key == "id" and "\0" not in value:
                last = value

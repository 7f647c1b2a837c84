"""Refusals that come before a request has ended: told at once, and heard even by a client that sends before it reads.

A server that answers and closes while the client still sends makes the client's system drop the answer: what the person
sees is a broken connection. So the answer goes out whole but for its end, and the rest of the request is taken in and
dropped, within bounds; then the answer ends. Clients that listen while they send stop by themselves.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Message, Receive, Send

# Seconds without a byte after which nobody is taken to send any more: curl stops at the refusal and waits for its end.
SILENCE: Final = 2.0
# Seconds one refusal may take in all.
LONGEST: Final = 60.0
REFUSALS: Final = 400


class Lingering:
    """One request and its answer; at most `most` bytes are taken in after a refusal."""

    def __init__(self, receive: Receive, send: Send, headers: Headers, *, most: int, silence: float = SILENCE) -> None:
        self._receive = receive
        self._send = send
        self._most = most
        self._silence = silence
        # Whether the request has ended, as far as anyone has looked.
        self._ended = "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"
        self._holding = False

    async def receive(self) -> Message:
        """The next piece of the request."""
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._ended = True
        return message

    async def send(self, message: Message) -> None:
        """Sends a piece of the answer; returns from a refusal's last one when the request has ended, or long enough."""
        if message["type"] == "http.response.start" and message["status"] >= REFUSALS and not self._ended:
            self._holding = True
            headers = MutableHeaders(scope=message)
            # In chunks, because a length would tell the edge that the answer is over.
            del headers["content-length"]
            headers["Connection"] = "close"
        if message["type"] == "http.response.body" and self._holding and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._drop_the_rest()
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    async def _drop_the_rest(self) -> None:
        seen = 0
        try:
            async with asyncio.timeout(LONGEST):
                while not self._ended and seen < self._most:
                    async with asyncio.timeout(self._silence):
                        seen += len((await self.receive()).get("body", b""))
        except TimeoutError:
            return

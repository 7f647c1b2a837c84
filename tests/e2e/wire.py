"""A client that reads while it still sends: it sees an answer that comes before the end of its request."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress

from tests.e2e.platform import Json, Platform

PATIENCE_SECONDS = 90


async def send(platform: Platform, path: str, headers: dict[str, str], pieces: Iterable[bytes]) -> tuple[int, Json]:
    """Posts a body in chunks, unless its length is among the headers; gives the status and JSON of the answer."""
    chunked = "Content-Length" not in headers
    sent = {
        "Host": "localhost",
        "Authorization": f"Bearer {platform.token}",
        **({"Transfer-Encoding": "chunked"} if chunked else {}),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)

    async def body() -> None:
        # The other side may close before it has everything: its answer says why.
        with suppress(ConnectionError):
            writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())
            for piece in pieces:
                writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece)
                await writer.drain()
            writer.write(b"0\r\n\r\n" if chunked else b"")
            await writer.drain()

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        sending = group.create_task(body())
        status = int((await reader.readline()).split(b" ")[1])
        length = 0
        while line := (await reader.readline()).strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        content = await reader.readexactly(length)
        sending.cancel()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return status, json.loads(content)

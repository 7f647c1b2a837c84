"""Two clients for answers that come before their request has ended: one reads while it sends, one sends first."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Iterable
from contextlib import suppress

from tests.e2e.platform import Json, Platform

PATIENCE_SECONDS = 90


async def send(platform: Platform, path: str, headers: dict[str, str], pieces: Iterable[bytes]) -> tuple[int, Json]:
    """Posts a body in chunks, unless its length is among the headers; gives the status and JSON of the answer.

    It reads while it sends, and goes as soon as it has read the JSON, whether the answer has ended or not.
    """
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
        while not _whole(content):
            content += (await reader.readexactly(int(await reader.readline(), 16) + 2))[:-2]
        sending.cancel()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return status, json.loads(content)


def send_first(
    platform: Platform, path: str, headers: dict[str, str], pieces: Iterable[bytes], length: int = 0
) -> tuple[int, Json]:
    """Posts a body of this length, or in chunks; reads the answer only when everything is sent, as most clients do.

    Blocks; any error while it sends is the test's failure.
    """
    connection = http.client.HTTPConnection("127.0.0.1", platform.port, timeout=PATIENCE_SECONDS)
    try:
        sent = headers | ({"Content-Length": str(length)} if length else {})
        connection.request("POST", path, iter(pieces), sent, encode_chunked=not length)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def _whole(content: bytes) -> bool:
    try:
        json.loads(content)
    except ValueError:
        return False
    return True

"""Looks at an instance's health over loopback: a connection, or one plain GET."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from typing import Final

from services.deploy.domain.steps import Check

# Seconds that one look may take; the rollout looks again at once.
TIMEOUT_SECONDS: Final = 5.0
_LONGEST_LINE: Final = 8 * 1024
_PATH: Final = re.compile(r"^/[\x21-\x7e]*$")
_STATUS: Final = re.compile(rb"^HTTP/1\.[01] (\d{3})(?: |\r?\n)")
_OK: Final = 200


async def check_health(port: int, path: str | None, seconds: float = TIMEOUT_SECONDS) -> Check:
    """Healthy when 127.0.0.1:`port` accepts a connection, or GET `path` there answers 200; redirects count as no.

    Never raises for what the instance does; the reason is a sentence for the deployment's owner.
    """
    if path is not None and not _PATH.match(path):
        return Check(healthy=False, reason=f"“{path[:100]}” is no path to ask for.")
    try:
        async with asyncio.timeout(seconds):
            return await _look(port, path)
    except TimeoutError:
        return Check(healthy=False, reason=f"No answer within {seconds:g} s.")
    except ConnectionRefusedError:
        return Check(healthy=False, reason=f"Nothing listens on port {port}.")
    except OSError as error:
        return Check(healthy=False, reason=f"The connection broke ({error.strerror or type(error).__name__}).")


async def _look(port: int, path: str | None) -> Check:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=_LONGEST_LINE)
    try:
        if path is None:
            return Check(healthy=True)
        # Frameworks that insist on TLS would redirect; the edge ends TLS, so for them this is as good.
        head = (
            f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nUser-Agent: lightrail-health/1\r\nAccept: */*\r\n"
            "X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n"
        )
        writer.write(head.encode("ascii"))
        await writer.drain()
        return _judge(await _line(reader))
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        return error.partial
    except asyncio.LimitOverrunError:
        return b""


def _judge(line: bytes) -> Check:
    match = _STATUS.match(line)
    if not match:
        said = "It closed the connection without an answer." if not line else "It does not speak HTTP there."
        return Check(healthy=False, reason=said)
    status = int(match[1])
    return Check(healthy=True) if status == _OK else Check(healthy=False, reason=f"It answered {status}.")

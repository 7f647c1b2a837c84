from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs.kernel.errors import Unavailable
from services.deploy.adapters import free_port as ports
from services.deploy.adapters.free_port import free_port, is_free
from services.deploy.adapters.health import check_health


@asynccontextmanager
async def answering(answer: bytes | None, *, host: str = "127.0.0.1") -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives one answer to all; None: it takes the request and says nothing."""
    asked: list[bytes] = []
    quiet = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.read(4096))
            if answer is None:
                await quiet.wait()
            else:
                writer.write(answer)
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(serve, host, 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked
        quiet.set()


async def test_open_port_is_healthy_without_a_path() -> None:
    async with answering(b"whatever") as (port, _):
        assert (await check_health(port, None)).healthy
    check = await check_health(port, None)
    assert (check.healthy, check.reason) == (False, f"Nothing listens on port {port}.")


async def test_answer_200_is_healthy_and_the_question_is_a_plain_get() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as (port, asked):
        assert (await check_health(port, "/health?deep=1")).healthy
    assert asked[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\nHost: localhost:")


@pytest.mark.parametrize("answer", [b"HTTP/1.0 200 OK\n\n", b"HTTP/1.1 200\r\n\r\n"])
async def test_terse_servers_are_healthy_too(answer: bytes) -> None:
    async with answering(answer) as (port, _):
        assert (await check_health(port, "/")).healthy


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", "It answered 204."),
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", "It answered 302."),
        (b"HTTP/1.1 503 Busy\r\n\r\n", "It answered 503."),
        (b"SSH-2.0-OpenSSH\r\n", "It does not speak HTTP there."),
        (b"x" * 20_000, "It closed the connection without an answer."),
        (b"", "It closed the connection without an answer."),
    ],
)
async def test_anything_else_is_not(answer: bytes, reason: str) -> None:
    async with answering(answer) as (port, _):
        check = await check_health(port, "/")
    assert (check.healthy, check.reason) == (False, reason)


async def test_silence_ends_in_time() -> None:
    async with answering(None) as (port, _):
        check = await check_health(port, "/", 0.1)
    assert (check.healthy, check.reason) == (False, "No answer within 0.1 s.")


@pytest.mark.parametrize("path", ["", "health", "/a b", "/a\r\nX: y", "http://elsewhere/", "/ü"])
async def test_strange_paths_are_not_asked_for(path: str) -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n\r\n") as (port, asked):
        assert not (await check_health(port, path)).healthy
    assert asked == []


async def test_free_port_is_one_that_nobody_has_on_any_address() -> None:
    async with answering(b"", host="127.0.0.1") as (local, _), answering(b"", host="0.0.0.0") as (everywhere, _):  # noqa: S104 - what is tested
        assert not is_free(local)
        assert not is_free(everywhere)
    chance = random.Random(1)  # noqa: S311 - a repeatable test
    port = free_port(set(), chance)
    assert is_free(port)
    assert 20_000 <= port < 32_000


def test_ports_that_others_were_given_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_FIRST", 20_000)
    monkeypatch.setattr(ports, "_LAST", 20_002)
    monkeypatch.setattr(ports, "is_free", lambda port: port != 20_001)
    chance = random.Random(1)  # noqa: S311 - a repeatable test
    assert free_port({20_000}, chance) == 20_002
    with pytest.raises(Unavailable, match="is taken"):
        free_port({20_000, 20_002}, chance)

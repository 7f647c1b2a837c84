"""The client against servers that behave, misbehave and die."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from libs.kernel.errors import Exhausted, Unavailable
from libs.sdk import models
from libs.sdk.client import Client
from libs.sdk.events import ServerSentEvent, parse
from libs.sdk.http1 import Broken, ConnectFailed, Pool, origin_of
from libs.testing.eventually import eventually

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HEALTH = b'{"status":"ready","services":{}}'
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """A server that runs `handler` for each connection."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            # The client has gone, or the test is over.
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}"
    server.close()


def saying(*answers: bytes) -> tuple[Handler, list[bytes]]:
    """A handler that answers each request on a connection in turn, and the heads it has read."""
    heads: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in answers:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(answer)
            await writer.drain()

    return handler, heads


async def get(url: str, seconds: float = 5.0) -> tuple[int, bytes]:
    pool = Pool(origin_of(url))
    async with pool.call("GET", "/x", {}, None, seconds=seconds) as answer:
        content = await answer.read()
    pool.close()
    return answer.status, content


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
async def test_every_way_to_send_a_body_is_read(answer: bytes) -> None:
    async with serving(saying(answer)[0]) as url:
        assert await get(url) == (200, b"hello")


async def test_no_content_has_no_body() -> None:
    async with serving(saying(b"HTTP/1.1 204 No Content\r\n\r\n")[0]) as url:
        assert await get(url) == (204, b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhe",
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
async def test_an_answer_that_is_cut_short_or_none_is_broken(answer: bytes) -> None:
    async with serving(saying(answer)[0]) as url:
        with pytest.raises(Broken):
            await get(url)


async def test_a_silent_server_is_not_waited_for_for_ever() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as url:
        with pytest.raises(Broken, match=r"0\.05 s"):
            await get(url, seconds=0.05)


async def test_nobody_listening_is_told_apart() -> None:
    async with serving(saying()[0]) as url:
        pass
    with pytest.raises(ConnectFailed):
        await get(url)


async def test_a_connection_is_used_again_unless_it_was_closed() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    opened = 0
    handler, heads = saying(answer, answer)

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal opened
        opened += 1
        await handler(reader, writer)

    async with serving(counting) as url:
        pool = Pool(origin_of(url))
        for _ in range(2):
            async with pool.call("GET", "/", {}, None, seconds=5) as response:
                assert await response.read() == b"ok"
        await eventually(lambda: all(connection.ended for connection in pool._idle))
        async with pool.call("GET", "/", {}, None, seconds=5) as response:
            assert await response.read() == b"ok"
        pool.close()
    assert (opened, len(heads)) == (2, 3)


async def test_a_refusal_in_the_middle_of_an_upload_is_heard() -> None:
    problem = b'{"detail":"too large","kind":"exhausted","status":413}'

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(100_000)
        writer.write(b"HTTP/1.1 413 x\r\nContent-Length: %d\r\n\r\n%s" % (len(problem), problem))
        await writer.drain()
        # Neither reads on nor hangs up: the client must not wait until all has gone.
        await asyncio.Event().wait()

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield bytes(65_536)

    async with serving(refusing) as url, Client(url, None) as client:
        with pytest.raises(Exhausted, match="too large"):
            await client.call("POST", "/x", models.Health, content=body(), headers={"Content-Length": "99999999"})


async def test_what_makes_a_body_fail_is_what_is_raised() -> None:
    async def reading(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError("the disk is gone")

    async with serving(reading) as url, Client(url, None) as client:
        with pytest.raises(RuntimeError, match="the disk is gone"):
            await client.call("POST", "/x", models.Health, content=body(), headers={"Content-Length": "9"})


async def test_reads_are_tried_again_and_writes_are_not() -> None:
    broken, ready = b"HTTP/1.1 503 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", HEALTH
    asked = 0

    async def recovering(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(ready), ready)
        writer.write(broken if asked < 3 else whole)
        await writer.drain()

    async with serving(recovering) as url, Client(url, None, retries=(0, 0)) as client:
        assert (await client.call("GET", "/health", models.Health)).status == "ready"
        assert asked == 3
        asked = 0
        with pytest.raises(Unavailable):
            await client.call("POST", "/projects", models.Health, body={})
        assert asked == 1


async def test_a_stream_that_breaks_off_is_resumed_after_its_last_event() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\nretry: 1\n\n"
    heads: list[bytes] = []

    async def streaming(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        line = '{{"number":{0},"time":"2026-01-01T00:00:00Z","step":"s","stream":"o","text":"{0}"}}'.format(len(heads))
        end = "event: end\ndata: {}\n\n" if len(heads) == 3 else ""
        writer.write(head + f": beat\n\nid: {len(heads)}\nevent: line\ndata: {line}\n\n{end}".encode())
        await writer.drain()

    async with serving(streaming) as url, Client(url, None) as client:
        assert [line.number async for line in client.build_log("dep", follow=True)] == [1, 2, 3]
    assert [b"Last-Event-ID" in head for head in heads] == [False, True, True]
    assert b"Last-Event-ID: 2" in heads[2]


async def test_headers_with_line_breaks_never_leave() -> None:
    async with serving(saying(CREATED)[0]) as url:
        pool = Pool(origin_of(url))
        with pytest.raises(ValueError, match="line break"):
            async with pool.call("GET", "/", {"X": "a\r\nInjected: b"}, None, seconds=5):
                pass


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_events_are_the_same_however_they_are_cut(size: int) -> None:
    text = "retry: 5\n\n: comment\n\nid: 1\r\nevent: a\r\ndata: é\r\ndata:x\r\n\r\ndata: two\rid\r\rdata: never ended"
    content = text.encode()

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), size):
            yield content[start : start + size]

    found = [event async for event in parse(pieces())]
    assert found == [ServerSentEvent("a", "é\nx", "1"), ServerSentEvent("message", "two", "")]

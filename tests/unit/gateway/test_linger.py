"""Refusals in the middle of a request: what goes out when, and how much is taken in for it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.datastructures import Headers

from services.gateway.http.linger import Lingering

PIECE = b"x" * 100
LONG = {"content-length": "1000"}


class Client:
    """Sends pieces, then says nothing more; what it hears and has sent is in order in `heard`."""

    def __init__(self, pieces: int, *, ends: bool = True) -> None:
        self.left, self.ends = pieces, ends
        self.heard: list[Any] = []

    async def receive(self) -> dict[str, Any]:
        if not self.left:
            await asyncio.Event().wait()
        self.left -= 1
        self.heard.append("sent")
        return {"type": "http.request", "body": PIECE, "more_body": bool(self.left) or not self.ends}

    async def send(self, message: Any) -> None:
        kept = {name.decode(): value.decode() for name, value in message.get("headers", [])}
        self.heard.append(kept if "headers" in message else (message["body"], message["more_body"]))

    def lingering(self, headers: dict[str, str], most: int = 10_000) -> Lingering:
        return Lingering(self.receive, self.send, Headers(headers), most=most, silence=0.01)


async def answer(lingering: Lingering, status: int) -> None:
    head = [(b"content-length", b"3"), (b"x-own", b"1")]
    await lingering.send({"type": "http.response.start", "status": status, "headers": head})
    await lingering.send({"type": "http.response.body", "body": b"no!", "more_body": False})


async def test_a_refusal_is_told_at_once_and_ends_with_the_request() -> None:
    client = Client(3)
    await answer(client.lingering(LONG), 413)
    head, *rest = client.heard
    assert head == {"x-own": "1", "connection": "close"}
    assert rest == [(b"no!", True), "sent", "sent", "sent", (b"", False)]


async def test_no_more_is_taken_in_than_allowed() -> None:
    client = Client(1000)
    await answer(client.lingering({"transfer-encoding": "chunked"}, most=250), 413)
    assert client.heard[2:] == ["sent", "sent", "sent", (b"", False)]


async def test_who_has_stopped_sending_is_not_waited_for() -> None:
    client = Client(2, ends=False)
    await answer(client.lingering(LONG), 404)
    assert client.heard[2:] == ["sent", "sent", (b"", False)]


@pytest.mark.parametrize(
    ("headers", "pieces_read", "status"),
    [({}, 0, 404), ({"content-length": "0"}, 0, 401), (LONG, 3, 422), (LONG, 0, 200)],
    ids=["no body", "empty body", "whole body was read", "no refusal"],
)
async def test_every_other_answer_goes_out_as_it_is(headers: dict[str, str], pieces_read: int, status: int) -> None:
    client = Client(3)
    lingering = client.lingering(headers)
    for _ in range(pieces_read):
        await lingering.receive()
    client.heard.clear()
    await answer(lingering, status)
    assert client.heard == [{"content-length": "3", "x-own": "1"}, (b"no!", False)]

"""Unit tests need nothing: no network either. The folders that do connect are named; the list may only shrink."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

# What these prove is a connection: a probe, a client, a server, a sandbox with and without a network.
CONNECTING = frozenset({"build", "cli", "deploy", "embedded", "gateway", "router", "rpc", "sandbox", "sdk"})
HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _sockets_off(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.path.relative_to(HERE).parts[0] in CONNECTING:
        return

    def refuse(_self: socket.socket, address: object) -> None:
        raise AssertionError(f"a unit test connects to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)

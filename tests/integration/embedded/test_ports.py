from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from libs.embedded import exposure, ports, probe
from libs.kernel.errors import Conflict


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    server = socket.create_server((ports.LOOPBACK, 0))
    yield server
    server.close()


def test_a_free_port_is_none_of_those_taken_and_below_those_of_outgoing_connections() -> None:
    first = ports.free_port()
    assert ports.free_port({first}) != first
    assert first < 32_768


def test_a_busy_port_is_told_in_one_sentence_with_the_way_out(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    assert not ports.is_free(port)
    with pytest.raises(Conflict) as told:
        ports.require_free(port, ports.LOOPBACK, "LIGHTRAIL_PORT")
    assert str(told.value) == f"Port {port} is in use by another program. Set LIGHTRAIL_PORT to a free one."


def test_probes_take_silence_and_refusal_for_not_ready(listener: socket.socket) -> None:
    free = ports.free_port()
    assert probe.http_status(ports.LOOPBACK, free, "/") == 0
    assert not probe.postgres_accepts(ports.LOOPBACK, free)
    assert not probe.nats_accepts(ports.LOOPBACK, free)
    assert probe.listens(ports.LOOPBACK, listener.getsockname()[1])
    assert probe.http_status(ports.LOOPBACK, listener.getsockname()[1], "/", timeout=0.05) == 0


def test_what_listens_on_every_address_is_reachable_from_outside_and_loopback_is_not(listener: socket.socket) -> None:
    with socket.create_server(("0.0.0.0", 0)) as outside:  # noqa: S104 - this is what must be found
        found = exposure.open_ports([os.getpid()])
        assert f"0.0.0.0:{outside.getsockname()[1]}" in found
        assert not any(address.endswith(f":{listener.getsockname()[1]}") for address in found)

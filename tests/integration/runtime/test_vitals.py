"""The process's own door."""

from __future__ import annotations

import socket

import pytest

from libs.kernel.errors import Conflict
from libs.runtime.vitals import vitals


async def test_a_taken_address_is_a_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(Conflict, match=f"{address} cannot be listened on: .*in use"):
            async with vitals(address, lambda: True, lambda _credential: False):
                pass

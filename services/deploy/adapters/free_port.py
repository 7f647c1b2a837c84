"""Chooses ports for instances, where clients' random ports do not come by."""

from __future__ import annotations

import itertools
import random
import socket
from collections.abc import Container
from contextlib import closing
from typing import Final

from libs.kernel.errors import Unavailable

# Below the range from which Linux takes ports for outgoing connections (32768 and up by default).
_FIRST: Final = 20_000
_LAST: Final = 31_999


def free_port(taken: Container[int], chance: random.Random) -> int:
    """A port that nobody listens on, on any address of this machine, and that is not `taken`."""
    start: int = chance.randrange(_FIRST, _LAST + 1)
    for port in itertools.chain(range(start, _LAST + 1), range(_FIRST, start)):
        if port not in taken and is_free(port):
            return port
    raise Unavailable(f"Every port from {_FIRST} to {_LAST} is taken.", hint="Stop what holds them.")


def is_free(port: int) -> bool:
    """Whether a program could listen on the port now, on all addresses."""
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):  # noqa: S104 - a question, no service
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a machine without IPv6
        with closing(probe):
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True

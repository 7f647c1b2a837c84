"""TCP ports of this machine: free ones found, taken ones recognised."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Container
from pathlib import Path

from libs.kernel.errors import Conflict, Exhausted

_ENOUGH = 1_000
_TRIES = 1_000
LOOPBACK = "127.0.0.1"


def free_port(taken: Container[int] = ()) -> int:
    """Returns a loopback port nobody listens on now, and not one of `taken`.

    Drawn from below the range that the kernel gives to outgoing connections, so that none of these takes it before a
    server does. Exhausted when there seems to be none.
    """
    first, last = 20_000, min(32_000, _first_ephemeral() - 1)
    if last - first < _ENOUGH:
        first, last = 40_000, 60_000
    for _ in range(_TRIES):
        port = first + secrets.randbelow(last - first + 1)
        if port not in taken and is_free(port):
            return port
    raise Exhausted("No free port was found on this machine.", hint="End programs that listen on many ports.")


def _first_ephemeral() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        return 32_768


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on `host`:`port` now. PermissionError when this user may not use the port."""
    with socket.socket() as probe:
        # As servers do: connections of a former server still closing do not make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise
        except OSError:
            return False
    return True


def require_free(port: int, host: str, variable: str) -> None:
    """Passes when `port` can be listened on; Conflict, naming the `variable` that moves it, when not."""
    try:
        if is_free(port, host):
            return
    except PermissionError:
        raise Conflict(
            f"Port {port} may only be used by root on this machine.",
            hint=f"Set {variable} to a port of 1024 or more.",
        ) from None
    raise Conflict(f"Port {port} is in use by another program.", hint=f"Set {variable} to a free one.")


def first_unprivileged() -> int:
    """Returns the lowest port that an ordinary user may listen on here."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except OSError:
        return 1024

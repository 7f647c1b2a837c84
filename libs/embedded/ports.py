"""TCP ports of this machine: free ones found, taken ones recognised."""

from __future__ import annotations

import socket
from pathlib import Path

from libs.kernel.errors import Conflict

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """Returns a port nobody listens on now, chosen by the kernel."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


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

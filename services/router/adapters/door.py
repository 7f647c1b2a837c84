"""The door at which edges ask: the router serves there, and while it is away its standby may.

Of a socket with a path, who came last is at the door: the router takes it from its standby, never the other way round.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import grpc

from libs.kernel.clock import Clock
from libs.kernel.errors import Invalid, Unavailable

# How often a standby looks whether the router is back.
LOOK_SECONDS: Final = 0.1
# The standby's socket until it is moved to the door: what gRPC removes when it stops is this path, not the router's.
_OWN: Final = "standby"
_CONNECT_SECONDS: Final = 0.5


async def listen(server: grpc.aio.Server, address: str) -> int:
    """Makes the server listen on `address`, host:port or unix:/path, and returns the port; of a path, 1.

    A socket that is there already is replaced. Unavailable when the address cannot be had.
    """
    path = _path(address)
    if path is None:
        return _bind(server, address)
    async with _turn(path):
        port = _bind(server, address)
        _let_in(path)
    return port


async def stand_in(server: grpc.aio.Server, address: str, clock: Clock) -> bool:
    """Serves at the door until another does, and says whether it did at all: not when somebody serves there now.

    Invalid when `address` is no path: a port cannot be taken over. Unavailable when it cannot be had.
    """
    path = _path(address)
    if path is None:
        raise Invalid(f"Nobody can stand in at {address}: that takes an address of the form unix:/path.")
    async with _turn(path):
        if await asyncio.to_thread(_is_served, path):
            return False
        own = path.with_name(_OWN)
        _bind(server, f"unix:{own}")
        _let_in(own)
        mine = _identity(own)
        own.replace(path)
    await server.start()
    while _identity(path) == mine:
        await clock.sleep(LOOK_SECONDS)
    return True


@asynccontextmanager
async def _turn(path: Path) -> AsyncIterator[None]:
    """Lets one process at a time look at the door and change it."""
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _bind(server: grpc.aio.Server, address: str) -> int:
    try:
        return int(server.add_insecure_port(address))
    except RuntimeError as error:
        raise Unavailable(
            f"The router cannot listen on {address}: {error}",
            hint="Is another platform running? Move LIGHTRAIL_ADS_ADDRESS.",
        ) from error


def _is_served(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(_CONNECT_SECONDS)
        try:
            trial.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:
            # Somebody is there who does not get to us.
            return True
    return True


def _identity(path: Path) -> tuple[int, int] | None:
    """What the path leads to now; a socket that is open keeps its number, so no other is taken for it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _let_in(path: Path) -> None:
    """Lets Envoy in, which runs as another user: the directory is the lock, not the socket."""
    path.chmod(0o666)


def _path(address: str) -> Path | None:
    path = address.removeprefix("unix:")
    return Path(path) if path != address else None

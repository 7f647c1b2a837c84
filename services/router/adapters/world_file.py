"""The last world in a file, so that an edge gets its configuration back also when there is no database."""

from __future__ import annotations

import asyncio
import hashlib
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from libs.telemetry import get_logger
from services.router.domain.world import App, Endpoint, Key, World

# Grows when the body means something else: a file of another format is as good as none.
FORMAT: Final = 2


class _StoredEndpoint(msgspec.Struct, array_like=True):
    instance_id: str
    address: str
    port: int
    draining_since: float | None


class _StoredApp(msgspec.Struct):
    service_id: str
    environment_id: str
    host: str
    endpoints: list[_StoredEndpoint] | None


class _Stored(msgspec.Struct):
    revision: int
    apps: list[_StoredApp]


class WorldFile:
    """Keeps one world at `path`, replaced as a whole: a line with format and checksum, then the body.

    One process writes; any number may read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = get_logger("router/world_file")

    async def remember(self, world: World) -> bool:
        """Keeps the world, on disk, in place of the one before; whether it is kept.

        When the disk does not take it, nothing is kept: an old world would lead to endpoints that are gone, whose
        ports are others' by now.
        """
        try:
            await asyncio.to_thread(self._write, msgspec.json.encode(_stored(world)))
        except OSError as error:
            self._log.warning("world.not_remembered", path=str(self._path), error=str(error))
            with suppress(OSError):  # what cannot be written cannot be asked to go either, as on a disk that is away
                await asyncio.to_thread(self._path.unlink)
            return False
        return True

    async def recall(self) -> World | None:
        """The world that was kept; None: none, or none that can be read."""
        try:
            return _world(msgspec.json.decode(await asyncio.to_thread(self._read), type=_Stored))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._log.warning("world.not_recalled", path=str(self._path), error=str(error))
            return None

    def _write(self, body: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            # Whoever died while writing may have left it with another mode.
            os.fchmod(descriptor, 0o600)
            file.write(_head(body) + body)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _read(self) -> bytes:
        head, _, body = self._path.read_bytes().partition(b"\n")
        if head + b"\n" != _head(body):
            raise ValueError("it is torn, or of another version")
        return body


def _head(body: bytes) -> bytes:
    return f"lightrail-world {FORMAT} {hashlib.sha256(body).hexdigest()}\n".encode()


def _stored(world: World) -> _Stored:
    return _Stored(
        world.revision,
        [
            _StoredApp(*app.key, app.host, None if app.endpoints is None else [_store(one) for one in app.endpoints])
            for app in world.apps
        ],
    )


def _store(one: Endpoint) -> _StoredEndpoint:
    since = None if one.draining_since is None else one.draining_since.timestamp()
    return _StoredEndpoint(one.instance_id, one.address, one.port, since)


def _world(stored: _Stored) -> World:
    return World(stored.revision, tuple(_app(found) for found in stored.apps))


def _app(found: _StoredApp) -> App:
    key = Key(found.service_id, found.environment_id)
    if found.endpoints is None:
        return App(key, found.host)
    return App(
        key,
        found.host,
        tuple(
            Endpoint(
                one.instance_id,
                one.address,
                one.port,
                None if one.draining_since is None else datetime.fromtimestamp(one.draining_since, UTC),
            )
            for one in found.endpoints
        ),
    )

"""The last world in a file, so that an edge gets its configuration back also when there is no database."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from libs.telemetry import get_logger
from services.router.domain.world import App, Endpoint, Key, World

FORMAT: Final = 1


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
    format: int
    revision: int
    apps: list[_StoredApp]


class WorldFile:
    """Keeps one world at `path`, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._log = get_logger("router/world_file")

    async def remember(self, world: World) -> None:
        """Keeps the world in place of the one before. A disk that does not take it costs the file, not the service."""
        try:
            await asyncio.to_thread(self._write, msgspec.json.encode(_stored(world)))
        except OSError as error:
            self._log.warning("world.not_remembered", path=str(self._path), error=str(error))

    async def recall(self) -> World | None:
        """The world that was kept; None: none, or none that can be read."""
        try:
            return _world(msgspec.json.decode(await asyncio.to_thread(self._path.read_bytes), type=_Stored))
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            self._log.warning("world.not_recalled", path=str(self._path), error=str(error))
            return None

    def _write(self, body: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self._path.with_suffix(".new")
        with fresh.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._path)


def _stored(world: World) -> _Stored:
    return _Stored(
        FORMAT,
        world.revision,
        [
            _StoredApp(*app.key, app.host, None if app.endpoints is None else [_store(one) for one in app.endpoints])
            for app in world.apps
        ],
    )


def _store(one: Endpoint) -> _StoredEndpoint:
    since = None if one.draining_since is None else one.draining_since.timestamp()
    return _StoredEndpoint(one.instance_id, one.address, one.port, since)


def _world(stored: _Stored) -> World | None:
    if stored.format != FORMAT:
        return None
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

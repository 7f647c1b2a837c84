"""A Docker engine, spoken to with its own program."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from libs.kernel.errors import Unavailable
from libs.sandbox.spec import Limits
from services.build.adapters.images.programs import Said, ask

# From this version on the program builds with BuildKit only through its plugin buildx.
_PLUGIN_SINCE: Final = 23
_LOAD_SECONDS: Final = 300.0
_PASSED: Final = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR")


Waiting = Callable[[], AbstractAsyncContextManager[None]]


class Daemon(Protocol):
    """Who listens behind the program."""

    @property
    def host(self) -> str:
        """Where: unix:///…; empty: where the program looks by itself."""
        ...

    @property
    def changes(self) -> int:
        """How often something was built there or removed; another number: what it keeps may have changed."""
        ...

    @property
    def resting(self) -> bool:
        """Whether it would have to be started first."""
        ...

    @property
    def store(self) -> Path | None:
        """Where it keeps everything, when that is the platform's own."""
        ...

    def changed(self) -> None:
        """Something was removed there."""
        ...

    def members(self) -> Collection[int]:
        """Ids of the processes of the build that it is at; none when they cannot be told."""
        ...

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Nothing is built there while the block runs, as far as the platform has a say."""
        ...

    def held(self) -> AbstractAsyncContextManager[None]:
        """It answers while the block runs. Unavailable when it cannot be started."""
        ...

    def building(self, limits: Limits, waiting: Waiting) -> AbstractAsyncContextManager[Callable[[], bool]]:
        """It builds for the block, within the limits; gives a question: whether a command met that of its memory.

        While another build has it, the block waits inside of `waiting`.
        """
        ...


@dataclass(frozen=True, slots=True)
class MachineEngine:
    """An engine that is there anyway: others build with it too, and how much a build takes is its own business."""

    host: str = ""
    changes: int = 0
    resting: bool = False
    store: None = None

    def changed(self) -> None:
        """Nothing is remembered of it: others change it as well."""

    def members(self) -> Collection[int]:
        """They cannot be told."""
        return ()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """The platform has no say."""
        yield

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Nothing has to be done for it."""
        yield

    @asynccontextmanager
    async def building(self, limits: Limits, waiting: Waiting) -> AsyncIterator[Callable[[], bool]]:
        """Nobody waits, nothing is limited, and what became of commands is not known."""
        del limits, waiting
        yield lambda: False


@dataclass(slots=True)
class Engine:
    """What people say `docker` to: `daemon` is who listens."""

    daemon: Daemon
    environ: Mapping[str, str]
    # The folder of the operator's logins to registries for builds; none: those of the user we run as.
    logins: Path | None = None
    _program: str = ""
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def program(self) -> str:
        """A docker program that can build with BuildKit. Unavailable when this machine has none."""
        if not self._program:
            tried = []
            for candidate in _candidates(self.environ.get("PATH", os.defpath)):
                said = await ask([candidate, "--version"], self.environment())
                version = re.search(r"version (\d+)", said.out)
                if version and int(version[1]) < _PLUGIN_SINCE:
                    self._program = candidate
                    break
                if version and (await ask([candidate, "buildx", "version"], self.environment())).code == 0:
                    self._program = candidate
                    break
                tried.append(candidate)
            else:
                seen = f": {', '.join(tried)} has no BuildKit (its plugin buildx is missing)" if tried else ""
                raise Unavailable(
                    f"Images cannot be built: no docker program that can was found{seen}.",
                    hint="Install Debian's package docker.io, or the plugin buildx.",
                )
        return self._program

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the program gets as environment: nothing of the platform's own."""
        kept = {name: self.environ[name] for name in _PASSED if name in self.environ}
        host = {"DOCKER_HOST": self.daemon.host} if self.daemon.host else {}
        store = self.daemon.store
        # The plugin notes where each build's source lay.
        notes = {"BUILDX_CONFIG": str(store.parent / "buildx")} if store else {}
        # Where the program looks for an engine by itself, its user's settings say which one.
        logins = {"DOCKER_CONFIG": str(self.logins)} if self.logins and self.daemon.host else {}
        return {"PATH": os.defpath, **kept, **host, **notes, **logins, "DOCKER_BUILDKIT": "1", **(extra or {})}

    async def run(self, *words: str, seconds: float = 60.0, extra: Mapping[str, str] | None = None) -> Said:
        """Runs a command of the engine's. Unavailable when the engine does not answer."""
        async with self.daemon.held():
            said = await ask([await self.program(), *words], self.environment(extra), seconds=seconds)
        if said.code != 0 and away(said.err):
            raise Unavailable(
                f"The container engine does not answer: {said.err.strip().splitlines()[-1]}",
                hint="Start it, or set LIGHTRAIL_DOCKER_HOST to where it listens.",
            )
        return said

    async def inspect(self, image: str) -> dict[str, Any] | None:
        """What the engine knows of an image; None when it has none of that name."""
        said = await self.run("image", "inspect", image)
        if said.code != 0:
            return None
        found: list[dict[str, Any]] = json.loads(said.out)
        return found[0]

    async def load(self, archive: Path, images: Mapping[str, str]) -> None:
        """Loads images from an archive unless the engine has these very ones; `images` are ids by name."""
        async with self._loading:
            for name, ident in images.items():
                found = await self.inspect(name)
                if found is None or found["Id"] != ident:
                    # What is loaded is nothing that a build has written.
                    async with self.daemon.alone():
                        said = await self.run("load", "--quiet", "--input", str(archive), seconds=_LOAD_SECONDS)
                    if said.code != 0:
                        raise Unavailable(f"The stack could not be loaded: {said.err.strip()[-300:]}")
                    return

    async def labelled(self, label: str) -> list[dict[str, Any]]:
        """All images that bear a label."""
        listed = await self.run("image", "ls", "--all", "--quiet", "--no-trunc", "--filter", f"label={label}")
        idents = sorted(set(listed.out.split()))
        if listed.code != 0 or not idents:
            return []
        said = await self.run("image", "inspect", *idents)
        found: list[dict[str, Any]] = json.loads(said.out or "[]")
        return found

    async def remove(self, names: Sequence[str]) -> None:
        """Removes names of images, and images that have no other; harmless when they are gone."""
        await self.run("image", "rm", *names)
        self.daemon.changed()


def away(text: str) -> bool:
    """Whether the program says that it cannot reach the engine."""
    return bool(re.search(r"Cannot connect to the Docker daemon|error during connect|permission denied.*sock", text))


def lost(text: str) -> bool:
    """Whether the program says that the engine went away while it worked."""
    gone = r"(unexpected|server:) EOF$|closing transport|transport is closing|connection reset by peer"
    return bool(re.search(gone, text))


def _candidates(path: str) -> list[str]:
    found: dict[str, str] = {}
    for folder in path.split(":"):
        program = shutil.which("docker", path=folder)
        if program:
            found.setdefault(os.path.realpath(program), program)
    return list(found.values())

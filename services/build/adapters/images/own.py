"""A Docker engine of the platform's own: started when it is needed, its commands capped, gone when nobody needs it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx2

from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.sandbox.cgroups import Groups
from libs.sandbox.mounts import unmount_below
from libs.sandbox.nested import Nest
from libs.sandbox.spec import Limits
from libs.telemetry import get_logger
from services.build.adapters.images.bridge import Bridge
from services.build.adapters.images.engine import Waiting
from services.build.adapters.images.programs import launch
from services.build.adapters.workdir import remove

# Groups: the engine itself, which has no caps, and all that it runs for builds.
_ENGINE, _COMMANDS = "engine", "commands"
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_LOOK: Final = 0.05
# Looks for what was killed: two seconds.
_PATIENCE: Final = 40
_API_SECONDS: Final = 60.0
_LAST_WORDS: Final = 300
_MACHINES: Final = Path("/etc/docker/daemon.json")
_REACHING: Final = ("registry-mirrors", "insecure-registries", "dns", "dns-opts", "dns-search", "proxies")
# The newest version of the interface whose answers are read here; older engines speak older ones.
_NEWEST: Final = (1, 51)


@dataclass(slots=True)
class OwnEngine:
    """The engine that keeps everything in `home`, and its socket in `run`: a socket's path may not be long.

    One build at a time has it: what an engine runs is capped as a whole, as it does not tell what it runs for whom.
    """

    home: Path
    run: Path
    groups: Groups
    # The builds' own network; None: they are on the machine's or on none, as each is told.
    bridge: Bridge | None
    clock: Clock
    environ: Mapping[str, str]
    # Registries that are spoken to without a certificate the machine trusts.
    insecure: tuple[str, ...] = ()
    changes: int = 0
    _api: str = ""
    _log: Any = field(default_factory=lambda: get_logger("engine"))
    _process: asyncio.subprocess.Process | None = None
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _users: int = 0
    # Builds that have it or wait for it.
    _turns: int = 0
    _used_at: float = 0.0

    @property
    def host(self) -> str:
        """Where it listens."""
        return f"unix://{self.run}/docker.sock"

    @property
    def store(self) -> Path:
        """Where it keeps everything."""
        return self.home / "data"

    @property
    def resting(self) -> bool:
        """Whether it does not run now."""
        return self._process is None or self._process.returncode is not None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """It runs and answers while the block does. Unavailable when it cannot be started."""
        async with self._changing:
            if self.resting:
                try:
                    await self._start()
                except OSError as error:
                    raise Unavailable(f"The container engine for builds could not be started: {error}") from error
            self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._used_at = self.clock.monotonic()

    @asynccontextmanager
    async def building(self, limits: Limits, waiting: Waiting) -> AsyncIterator[Callable[[], bool]]:
        """It runs and works for the block alone, within the limits; gives a question: whether one met its memory.

        While another build has it, the block waits inside of `waiting`. What its commands leave is killed.
        """
        async with AsyncExitStack() as stack:
            busy = self._turns > 0
            self._turns += 1
            stack.callback(self._leave)
            async with waiting() if busy else nullcontext():
                await stack.enter_async_context(self._turn)
            await stack.enter_async_context(self.held())
            nest = Nest(self.groups.make(_COMMANDS, limits))
            # Whatever came to life after the build before was ended.
            await self._empty(nest)
            out_of_memory = stack.enter_context(nest.watched())
            try:
                yield out_of_memory
            finally:
                self.changed()
                await self._empty(nest)
                await asyncio.to_thread(forget_outputs, self.store)

    def _leave(self) -> None:
        self._turns -= 1

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nothing is built while the block runs."""
        async with self._turn:
            yield

    def members(self) -> Collection[int]:
        """Ids of the processes of the build that it is at."""
        return self.groups.group(_COMMANDS).members()

    def changed(self) -> None:
        """Something was built or removed."""
        self.changes += 1

    async def ask(self, method: str, path: str, **query: str) -> dict[str, Any]:
        """What its interface answers, while it is held. Unavailable when it does not."""
        door = httpx2.AsyncHTTPTransport(uds=str(self.run / "docker.sock"))
        async with httpx2.AsyncClient(transport=door, base_url="http://engine", timeout=_API_SECONDS) as client:
            try:
                if not self._api:
                    self._api = interface((await client.get("/_ping")).headers["Api-Version"])
                answer = await client.request(method, f"/v{self._api}{path}", params=query)
                answer.raise_for_status()
            except (httpx2.HTTPError, KeyError) as error:
                raise Unavailable(f"The container engine does not answer: {error}") from error
        found: dict[str, Any] = answer.json()
        return found

    async def rest(self, idle: float) -> None:
        """Stops it, again and again, when nobody has needed it for `idle` seconds. Returns only when cancelled.

        What cannot be cleared away is tried again.
        """
        while True:
            await self.clock.sleep(idle / 4)
            async with self._changing:
                if not self._users and self.clock.monotonic() - self._used_at >= idle and self._something:
                    await self._tidy()

    async def close(self) -> None:
        """Stops it, also one of a process that was killed; nothing is left running, mounted or in the network."""
        async with self._changing:
            if self._something:
                await self._tidy()

    @property
    def _something(self) -> bool:
        """Whether something may be left of it."""
        return self._process is not None or bool(self.groups.keys() & {_ENGINE, _COMMANDS})

    async def _tidy(self) -> None:
        """Stops it as far as that goes: what does not go is told, and no reason for the platform to stop."""
        try:
            await self._stop()
        except (Unavailable, OSError) as error:
            self._log.warning("engine.left", home=str(self.home), error=str(error))

    async def _start(self) -> None:
        await self._stop()
        program = shutil.which("dockerd", path=self.environ.get("PATH", os.defpath))
        if program is None:
            raise Unavailable("The program dockerd is not there any more.", hint="Install Debian's package docker.io.")
        for folder in (self.home, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # From here on the group says that something may be left.
        group = self.groups.make(_ENGINE, Limits())
        try:
            door = Nest(group).open_unified()
            largest = await self.bridge.lay(Nest(group).place.lstrip("/") if door else "") if self.bridge else 0
            argv = [program, *self._words(Nest(self.groups.group(_COMMANDS)).place, largest)]
            doors = list(dict.fromkeys([*group.doors, *([door] if door else [])]))
            self._api = ""
            self._process = await launch(argv, self._environment(), self.home / "dockerd.log", doors=doors)
            await self._answers()
        except BaseException:
            await self._tidy()
            raise
        self._used_at = self.clock.monotonic()

    def _words(self, place: str, largest: int) -> list[str]:
        words = ["--data-root", str(self.store), "--exec-root", str(self.run), "--host", self.host]
        words += ["--pidfile", str(self.run / "pid"), "--log-level", "warn"]
        (self.home / "daemon.json").write_text(json.dumps(settings(_MACHINES, self.insecure)), encoding="ascii")
        words += ["--config-file", str(self.home / "daemon.json")]
        words += ["--cgroup-parent", place, "--exec-opt", "native.cgroupdriver=cgroupfs"]
        # Another engine on this machine may have the same containerd.
        name = f"lightrail-{self.groups.name}"
        words += ["--containerd-namespace", name, "--containerd-plugins-namespace", f"{name}-plugins"]
        words += ["--iptables=false", "--ip6tables=false", "--ip-masq=false", "--ip-forward=false"]
        words += ["--bridge", self.bridge.name if self.bridge else "none"]
        return [*words, "--mtu", str(largest)] if self.bridge else words

    def _environment(self) -> dict[str, str]:
        """What pulling images needs; nothing of the platform's own."""
        kept = {
            name: value
            for name, value in self.environ.items()
            if name in {"PATH", "HOME", "SSL_CERT_FILE", "SSL_CERT_DIR"} or name.lower().endswith("_proxy")
        }
        return {"PATH": os.defpath, **kept}

    async def _answers(self) -> None:
        """Waits until it does. Unavailable with its last words when it ends instead."""
        process, begun = self._process, self.clock.monotonic()
        while process is not None and process.returncode is None:
            with suppress(Unavailable):
                await self.ask("GET", "/version")
                return
            if self.clock.monotonic() - begun > _START_SECONDS:
                break
            await self.clock.sleep(_LOOK)
        said = await asyncio.to_thread((self.home / "dockerd.log").read_text, encoding="utf-8", errors="replace")
        words = (said.strip().splitlines() or ["it said nothing"])[-1]
        raise Unavailable(
            f"The container engine for builds could not be started: {words[-_LAST_WORDS:]}",
            hint=f"See {self.home / 'dockerd.log'}; or have LIGHTRAIL_DOCKER_HOST set to an engine that runs.",
        )

    async def _stop(self) -> None:
        """Ends it, also one that a killed process began, and takes away what it laid out on the machine."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            with suppress(TimeoutError):
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
        nests = [Nest(self.groups.group(key)) for key in (_ENGINE, _COMMANDS)]
        for nest in nests:
            await self._empty(nest)
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()
        await asyncio.to_thread(forget_outputs, self.store)
        # The engine mounts its own store over itself.
        for folder in (self.home, self.run):
            if folder.exists():
                await asyncio.to_thread(unmount_below, folder, keep=self._disks())
        # Numbers of processes in there may be other programs' by now, and would keep an engine from starting.
        await asyncio.to_thread(remove, self.run)
        if self.bridge:
            await self.bridge.lift()
        # The groups go last: as long as they are there, something may be left.
        for nest in nests:
            nest.remove()
        self.groups.fold()

    def _disks(self) -> set[Path]:
        """The store, when it is a disk that the operator has mounted there."""
        own = self.store.exists() and self.store.stat().st_dev == self.home.stat().st_dev
        return set() if own else {self.store.resolve()}

    async def _empty(self, nest: Nest) -> None:
        for _ in range(_PATIENCE):
            if not nest.members():
                return
            nest.kill()
            await self.clock.sleep(_LOOK)


def forget_outputs(store: Path) -> None:
    """Removes what steps printed from the history of builds that engines from 23 on keep. Blocks.

    Nobody masks secrets there. All else that is kept beside it is JSON; without it an engine builds as before.
    """
    for blob in (store / "buildkit" / "content" / "blobs" / "sha256").glob("*"):
        with suppress(FileNotFoundError):
            with blob.open("rb") as file:
                printed = file.read(1) != b"{"
            if printed:
                blob.unlink()


def interface(newest: str) -> str:
    """The version of the interface to speak, when the engine's newest is this."""
    major, _, minor = newest.partition(".")
    spoken = min(_NEWEST, (int(major), int(minor)))
    return f"{spoken[0]}.{spoken[1]}"


def settings(machines: Path, insecure: tuple[str, ...]) -> dict[str, Any]:
    """What the file of the machine's own engine says about reaching registries; the rest of it is not this one's."""
    try:
        found = json.loads(machines.read_bytes())
    except (OSError, ValueError):
        found = {}
    kept = {name: found[name] for name in _REACHING if name in found}
    plain = [*kept.get("insecure-registries", []), *insecure]
    # Images of builds lie in the store, and not in a containerd that the machine has.
    own = {"features": {"containerd-snapshotter": False}}
    return {**kept, **own, "insecure-registries": plain} if plain else {**kept, **own}

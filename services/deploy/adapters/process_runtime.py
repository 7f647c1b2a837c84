"""Runs instances as sandboxed processes of this machine."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Final
from weakref import WeakValueDictionary

from libs.blobs.directory import DirectoryBlobs
from libs.kernel.clock import Clock
from libs.kernel.errors import Invalid
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Exit, Limits, Mount, Process, Spec, Usage
from services.deploy.adapters.free_port import free_port, is_free
from services.deploy.adapters.instance_files import Decided, InstanceFiles, files_of
from services.deploy.adapters.layers import Layers, erase, has_directory, make_mountpoint
from services.deploy.domain.instance import Launch, Layer, Observed

# Processes and threads of one instance: plenty for a server, an end for a fork bomb.
PIDS: Final = 2048
# Seconds for which counters of CPU and memory are told again instead of read again.
USAGE_SECONDS: Final = 1.0
# Days after which an unpacked layer that no instance has is removed; it is unpacked again when it is wanted again.
UNUSED_DAYS: Final = 3
_GONE: Final = ".gone-"
_BASE_ENVIRONMENT: Final[Mapping[str, str]] = {
    "HOME": "/tmp",  # noqa: S108 - inside the sandbox it is the instance's own
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
}


@dataclass(slots=True)
class _Known:
    """What is remembered of an instance between two looks; all of it is also on the disk."""

    process: Process
    decided: Decided
    usage: Usage
    read_at: float = float("-inf")
    # Set once nothing of it runs: then nothing about it changes any more.
    ended: Exit | None = None


class ProcessRuntime:
    """Instances as processes: `home/instances/<id>` holds each one's files, `home/layers` what they share."""

    def __init__(self, home: Path, sandbox: Sandbox, layers: Layers, clock: Clock) -> None:
        self._root = home / "instances"
        self._sandbox = sandbox
        self._layers = layers
        self._clock = clock
        self._chance = random.Random()  # noqa: S311 - spreads ports; hides nothing
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._known: dict[str, _Known] = {}

    @classmethod
    async def open(cls, home: Path, clock: Clock) -> ProcessRuntime:
        """Finds what an earlier process left; Unavailable when this machine cannot make sandboxes."""

        def prepare() -> Layers:
            root = home / "instances"
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in root.glob(f"{_GONE}*"):
                erase(left)
            return Layers(home / "layers", DirectoryBlobs(home / "blobs"))

        layers = await asyncio.to_thread(prepare)
        return cls(home, await Sandbox.open(home), layers, clock)

    async def start(self, launch: Launch) -> None:
        """Starts the instance unless it was started before; see the port."""
        files = files_of(self._root, launch.instance_id)
        async with self._lock(launch.instance_id):
            files.folder.mkdir(mode=0o700, exist_ok=True)
            if self._sandbox.find(files.status, files.name) is not None:
                return
            mounts = await self._mounts(launch, files)
            decided = self._decide(launch, files)
            spec = Spec(
                argv=("/bin/sh", "-c", launch.artifact.start_command),
                env=_environment(launch, decided.port),
                cwd=launch.artifact.working_directory,
                mounts=mounts,
                owner=_owner(launch),
                limits=Limits(launch.memory_limit_bytes, launch.cpu_limit_millicores, PIDS),
                hosts=launch.hosts,
            )
            await self._sandbox.start(spec, output=files.output, status=files.status, key=files.name)

    async def observe(self) -> Sequence[Observed]:
        """Every instance that was started and not removed, by id."""
        self._sandbox.poll()
        found = []
        for name in sorted(os.listdir(self._root)):  # noqa: PTH208 - names, several times a second
            known = self._recall(name)
            if known is not None:
                found.append(await self._look(name, known))
        return found

    async def terminate(self, instance_id: str, *, grace: float) -> None:
        """Asks it to end, then makes it; see the port."""
        files = files_of(self._root, instance_id)
        async with self._lock(instance_id):  # a start that is under way ends first
            process = self._sandbox.find(files.status, files.name)
        if process is None or not await self._sandbox.alive(process):
            return
        if grace > 0:
            if files.mark_asked():
                await self._sandbox.signal(process, signal.SIGTERM)
            if await self._sandbox.wait(process, grace):
                return
        await self._sandbox.kill(process)

    async def remove(self, instance_id: str) -> None:
        """Frees everything it holds; see the port."""
        files = files_of(self._root, instance_id)
        await self.terminate(instance_id, grace=0)
        async with self._lock(instance_id):
            await self._sandbox.release(files.name)
            self._known.pop(instance_id, None)
            await asyncio.to_thread(_discard, files.folder)
            await asyncio.to_thread(self._collect_layers)

    async def read_output(self, instance_id: str, offset: int, limit: int) -> bytes:
        """What it printed from byte `offset`; see the port."""
        return files_of(self._root, instance_id).read(offset, limit)

    async def output_size(self, instance_id: str) -> int:
        """Bytes it has printed so far."""
        return files_of(self._root, instance_id).size()

    async def trim_output(self, instance_id: str, offset: int) -> None:
        """Frees the room of what was printed before byte `offset`."""
        files_of(self._root, instance_id).trim(offset)

    def _collect_layers(self) -> None:
        used = {digest for decided in self._all_decided() for digest in decided.layers}
        self._layers.collect(used, self._clock.now() - timedelta(days=UNUSED_DAYS))

    def _all_decided(self) -> list[Decided]:
        names = os.listdir(self._root)  # noqa: PTH208 - names
        return [decided for name in names if (decided := InstanceFiles(self._root / name).decided()) is not None]

    def _lock(self, instance_id: str) -> asyncio.Lock:
        return self._locks.setdefault(instance_id, asyncio.Lock())

    def _recall(self, name: str) -> _Known | None:
        if name not in self._known and not name.startswith("."):
            files = InstanceFiles(self._root / name)
            process = self._sandbox.find(files.status, name)
            decided = files.decided()
            if process is None or decided is None:
                return None
            self._known[name] = _Known(process, decided, Usage(0, 0))
        return self._known.get(name)

    async def _look(self, name: str, known: _Known) -> Observed:
        exit_, alive = known.ended, False
        if exit_ is None:
            # In this order: what has ended by now has also written how.
            alive = await self._sandbox.alive(known.process)
            exit_ = await self._sandbox.exited(known.process)
            now = self._clock.monotonic()
            if not alive or now - known.read_at >= USAGE_SECONDS:
                known.usage, known.read_at = self._usage(known), now
            if exit_ and alive and not InstanceFiles(self._root / name).was_asked():
                # Its main process has ended: what it left behind may not live on, as in a container.
                self._sandbox.strike(known.process)
            if not alive:
                known.ended = exit_
        return Observed(
            instance_id=name,
            run_id=name,
            alive=alive,
            exit_code=exit_.code if exit_ else None,
            oom=exit_ is not None and exit_.oom,
            started_at=known.decided.started_at,
            port=known.decided.port,
            cpu_microseconds=known.usage.cpu_microseconds,
            memory_bytes=known.usage.memory_bytes if alive else 0,
        )

    def _usage(self, known: _Known) -> Usage:
        usage = self._sandbox.usage(known.process)
        return Usage(max(usage.cpu_microseconds, known.usage.cpu_microseconds), usage.memory_bytes)

    def _decide(self, launch: Launch, files: InstanceFiles) -> Decided:
        """The port that was chosen before, while it is still free; else a new one."""
        before = files.decided()
        if before and is_free(before.port) and launch.port in {None, before.port}:
            return before
        taken = {decided.port for decided in self._all_decided()}
        port = launch.port or free_port(taken, self._chance)
        digests = tuple(layer.digest for layer in launch.artifact.layers)
        decided = Decided(port=port, started_at=self._clock.now(), layers=digests)
        files.decide(decided)
        return decided

    async def _mounts(self, launch: Launch, files: InstanceFiles) -> list[Mount]:
        found = [Mount(Path(path), path) for path in launch.artifact.host_paths]
        roots: dict[str, tuple[Path, bool]] = {}
        uid = self._sandbox.uid(_owner(launch))

        def adopt(path: Path) -> None:
            self._sandbox.adopt_owner(path, _owner(launch))

        for number, layer in enumerate(sorted(launch.artifact.layers, key=lambda layer: layer.mount.count("/"))):
            if layer.writable:
                source = files.layer(number)
                await self._layers.copy(layer.digest, source, adopt)
            else:
                source = await self._layers.shared(layer.digest)
            _make_room(layer, roots, uid if os.geteuid() == 0 else None)
            roots[layer.mount] = (source, layer.writable)
            found.append(Mount(source, layer.mount, layer.writable))
        return found


def _make_room(layer: Layer, roots: Mapping[str, tuple[Path, bool]], uid: int | None) -> None:
    """Makes the directory that a layer is mounted on, when it lies inside another layer."""
    mount = PurePosixPath(layer.mount)
    outer = next((parent for parent in mount.parents if str(parent) in roots), None)
    if outer is None:
        return
    root, writable = roots[str(outer)]
    below = str(mount.relative_to(outer))
    if writable:
        make_mountpoint(root, below, uid)
    elif not has_directory(root, below):
        raise Invalid(f"A layer cannot be mounted at {mount}: the layer at {outer} has no such directory.")


def _environment(launch: Launch, port: int) -> dict[str, str]:
    given = {name: value.reveal() for name, value in launch.variables.items()}
    return {**_BASE_ENVIRONMENT, **launch.artifact.environment, **given, "PORT": str(port)}


def _owner(launch: Launch) -> str:
    """Instances of one service in one environment share a uid, and with nobody else."""
    return f"service/{launch.environment_id}/{launch.service_id}"


def _discard(folder: Path) -> None:
    """Takes the folder out of sight in one step, then erases it; the next opening finishes what a crash left."""
    gone = folder.with_name(f"{_GONE}{folder.name}")
    erase(gone)
    if folder.exists():
        folder.rename(gone)
        erase(gone)

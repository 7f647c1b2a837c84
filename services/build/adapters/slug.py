"""The slug builder: sandboxed steps on this machine, layers as archives in the blob store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import platform
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final, Protocol

from libs.blobs.archive import ArchiveLimits, pack, unpack
from libs.blobs.port import Blobs
from libs.kernel.clock import Clock
from libs.kernel.errors import Invalid
from libs.plans.caches import CACHES, kept_by
from libs.plans.faults import BuildFault
from libs.plans.plan import APP, EVERYTHING, BuildPlan, Runtime, Step
from libs.plans.tree import Tree
from libs.sandbox.spec import Mount
from services.build.adapters.caches import ToolCaches
from services.build.adapters.disk import Filled
from services.build.adapters.registries import Registries
from services.build.adapters.runtimes import SYSTEM_PATH, UNVERSIONED, Runtimes, Toolchain, difference
from services.build.adapters.steps import INSTALLERS, Commands, Room, Runner, environment_of, owner_of
from services.build.adapters.tools import TOOLS, Tools
from services.build.adapters.workdir import (
    WorkDirs,
    copy_inputs,
    hashes,
    marks,
    mount_point,
    read_tree,
    remove,
    write_files,
)
from services.build.app.ports import DependencyLayers, Job, Output
from services.build.domain.model import Artifact, Layer, canonical_json
from services.build.domain.provenance import Material, Origin

HOME: Final = "/home/app"
_FORMAT: Final = 2


class SandboxOwner(Runner, Protocol):
    """A sandbox that can give files to those who run in it."""

    def adopt_owner(self, path: Path, owner: str) -> None:
        """Gives everything at `path` to the owner."""
        ...

    def uid(self, owner: str) -> int:
        """The uid that the owner's programs run as."""
        ...


@dataclass(slots=True)
class _Output:
    """An output of a step: its layer, and the folder with it when it lies on disk."""

    layer: Layer
    folder: Path | None = None


@dataclass(slots=True)
class _Site:
    """One build under way."""

    job: Job
    plan: BuildPlan
    root: Path
    app: Path
    toolchain: Toolchain
    output: Output
    # By mount.
    outputs: dict[str, _Output] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SlugBuilt:
    """What was built: its layers are stored, and the work directory is as the steps left it."""

    builder: SlugBuilder
    site: _Site
    artifact: Artifact
    origin: Origin

    async def test(self, step: Step, output: Output) -> None:
        """Runs a step where the build's steps ran."""
        begun = self.builder.clock.monotonic()
        await self.builder.run(self.site, step)
        await output.say(step.name, f"{step.name} took {self.builder.clock.monotonic() - begun:.1f} s")

    async def publish(self, output: Output) -> Artifact:  # noqa: ARG002 - there is nothing to say
        """Stores the manifest."""
        await self.builder.blobs.put_bytes(self.artifact.canonical())
        return self.artifact


@dataclass(frozen=True, slots=True)
class SlugBuilder:
    """Builds in `work`, with download caches per workspace in `caches`."""

    work: WorkDirs
    caches: ToolCaches
    blobs: Blobs
    sandbox: SandboxOwner
    commands: Commands
    layers: DependencyLayers
    runtimes: Runtimes
    tools: Tools
    registries: Registries
    source_limits: ArchiveLimits
    clock: Clock

    @property
    def secrets(self) -> frozenset[str]:
        """Values of the host's own configuration that no log may show."""
        return self.registries.secrets

    async def fetch(self, job: Job) -> Tree:
        """Lays the source out in a fresh work directory."""
        archive = await self.blobs.path(job.snapshot_digest)
        return await asyncio.to_thread(self._fetch, job, archive)

    def _fetch(self, job: Job, archive: Path) -> Tree:
        source = self.work.fresh(job.build.id) / "source"
        unpack(archive, source, limits=self.source_limits, digest=job.snapshot_digest)
        return read_tree(source)

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> SlugBuilt:
        """Runs the steps and packs the layers."""
        root = self.work.of(job.build.id)
        app = root / "source" / plan.root_directory if plan.root_directory else root / "source"
        site = _Site(job, plan, root, app, await self.runtimes.find(plan.runtime), output)
        if plan.runtime.name not in UNVERSIONED:
            shown = ".".join(str(part) for part in site.toolchain.version)
            await output.say("detect", f"{site.toolchain.name} {shown}")
        if told := difference(plan.runtime, site.toolchain):
            await output.say("detect", f"note: {told}")
        if job.fresh:
            await output.say("detect", "NO_CACHE is set: nothing that earlier builds kept is used")
        locks = await asyncio.to_thread(_locks, app, plan)
        for number, step in enumerate(plan.steps):
            begun = self.clock.monotonic()
            if step.output:
                await self._install(site, number, step)
            else:
                await self._build(site, step)
            await output.say(step.name, f"{step.name} took {self.clock.monotonic() - begun:.1f} s")
        return SlugBuilt(self, site, await self._packed(site), Origin("slug", (*locks, *self._used(site))))

    async def machine(self, plan: BuildPlan) -> Mapping[str, Any]:
        """The runtime as it is here, the platform's tools, and where packages come from."""
        chain = await self.runtimes.find(plan.runtime)
        return {
            "driver": "slug",
            "format": _FORMAT,
            "runtime": [chain.name, *chain.version, chain.program, *chain.path, *chain.host_paths],
            "architecture": platform.machine(),
            "tools": self.tools.version,
            "registries": dict(self.registries.environment),
        }

    async def holds(self, artifact: Artifact) -> bool:
        """Whether the manifest and all layers are in the blob store."""
        wanted = (artifact.digest, *(layer.digest for layer in artifact.layers))
        return all([await self.blobs.exists(digest) for digest in wanted])

    async def clean(self, build_id: str) -> None:
        """Removes the build's work directory."""
        await asyncio.to_thread(self.work.clean, build_id)

    async def _install(self, site: _Site, number: int, step: Step) -> None:
        """Gives the step's output: the layer kept for the same inputs, or a new one."""
        job = site.job
        key = await asyncio.to_thread(self._key, site, step)
        kept = None if job.fresh else await self._kept(job, key)
        if kept and await self.blobs.exists(kept.digest):
            await site.output.say(step.name, "dependencies: cached")
            await asyncio.to_thread(mount_point, site.app, step.output)
            site.outputs[step.output] = _Output(kept)
            return
        folder = site.root / f"output-{number}"
        place = await asyncio.to_thread(self._prepare, site, number, step, folder)
        folders = {mount: await self._laid_out(site, mount) for mount in site.outputs} | {step.output: folder}
        await self._run(site, step, place, folders)
        if place == site.app:
            await asyncio.to_thread(_forget, place, step.files)
        layer = await self._pack(site, folder, step.output)
        await self.layers.keep(job.build.workspace_id, key, layer, self.clock.now(), job.build.service_id)
        await asyncio.to_thread(mount_point, site.app, step.output)
        site.outputs[step.output] = _Output(layer, folder)

    async def _kept(self, job: Job, key: str) -> Layer | None:
        build = job.build
        return await self.layers.find(build.workspace_id, key, self.clock.now(), build.service_id)

    async def _run(self, site: _Site, step: Step, place: Path, folders: Mapping[str, Path]) -> None:
        """Runs a step's commands, with its tools' caches held."""

        @asynccontextmanager
        async def waiting(tool: str) -> AsyncIterator[None]:
            await site.output.say(step.name, f"waiting for the downloads of {tool}: another build here uses them")
            with site.job.waiting():
                yield

        tools = () if site.job.fresh else step.caches
        async with self.caches.held(site.job.build.workspace_id, tools, waiting):
            await self.commands.run(site.job, step, self._room(site, step, place, folders), site.output)

    def _prepare(self, site: _Site, number: int, step: Step, folder: Path) -> Path:
        """Makes the folder that the step sees at /app: the source, or only what it depends on."""
        place = site.app
        if step.inputs != EVERYTHING:
            place = site.root / f"inputs-{number}"
            copy_inputs(site.app, step.inputs, place)
        write_files(place, step.files)
        for mount in (*site.outputs, step.output):
            mount_point(place, mount)
        folder.mkdir()
        self.sandbox.adopt_owner(place, owner_of(site.job))
        self.sandbox.adopt_owner(folder, owner_of(site.job))
        return place

    async def run(self, site: _Site, step: Step) -> None:
        """Runs a step that sees the source and all outputs, and may write there."""
        folders = {mount: await self._laid_out(site, mount) for mount in site.outputs}
        await asyncio.to_thread(self.sandbox.adopt_owner, site.app, owner_of(site.job))
        await self._run(site, step, site.app, folders)

    async def _build(self, site: _Site, step: Step) -> None:
        """Runs a step that changes the source, and outputs of earlier steps when it may."""
        folders = {mount: await self._laid_out(site, mount) for mount in step.changes if mount in site.outputs}
        before = {mount: await asyncio.to_thread(marks, folder) for mount, folder in folders.items()}
        await self.run(site, step)
        for mount, mark in before.items():
            if await asyncio.to_thread(marks, folders[mount]) != mark:
                site.outputs[mount].layer = await self._pack(site, folders[mount], mount)

    async def _laid_out(self, site: _Site, mount: str) -> Path:
        """The output as a folder of this build's own."""
        output = site.outputs[mount]
        if output.folder is None:
            output.folder = site.root / f"layer-{len(list(site.root.iterdir()))}"
            archive = await self.blobs.path(output.layer.digest)
            await asyncio.to_thread(unpack, archive, output.folder, foreign_links=True)
            await asyncio.to_thread(self.sandbox.adopt_owner, output.folder, owner_of(site.job))
        return output.folder

    def _used(self, site: _Site) -> list[Material]:
        """What was used to build: the runtime, the platform's tools, and installed dependencies as they are now."""
        chain = site.toolchain
        version = ".".join(map(str, chain.version))
        runtime = [] if chain.name in UNVERSIONED else [Material("runtime", "", f"pkg:generic/{chain.name}@{version}")]
        layers = [Material(mount, output.layer.digest) for mount, output in site.outputs.items()]
        return [*runtime, Material("uv", "", f"pkg:pypi/uv@{self.tools.version}"), *layers]

    async def _packed(self, site: _Site) -> Artifact:
        """Packs the source as it is now, and says what a runtime needs to know."""
        plan = site.plan
        app = await self._pack(site, site.app, APP, writable=True, mounts=tuple(site.outputs))
        # What only the build needed stays behind when nothing but files is served.
        layers = [app, *(output.layer for output in site.outputs.values() if not plan.serves)]
        path, toolchain = [*plan.path, *site.toolchain.path], site.toolchain
        if plan.serves:
            await asyncio.to_thread(_served, site)
        if plan.serves or plan.runtime.name == "files":
            toolchain = await self.runtimes.find(Runtime("files"))
            layers.append(await self._file_server(site, toolchain))
            path = [f"{TOOLS}/bin"]
        return Artifact(
            layers=tuple(layers),
            start_command=plan.start_command,
            working_directory=APP,
            kind=plan.kind,
            provider=plan.provider,
            environment={"LANG": "C.UTF-8", **plan.environment, "PATH": ":".join((*path, *SYSTEM_PATH))},
            host_paths=toolchain.host_paths,
        )

    async def _file_server(self, site: _Site, toolchain: Toolchain) -> Layer:
        folder = await asyncio.to_thread(self.tools.file_server, toolchain.program)
        return await self._pack(site, folder, TOOLS)

    async def _pack(
        self, site: _Site, folder: Path, mount: str, *, writable: bool = False, mounts: tuple[str, ...] = ()
    ) -> Layer:
        hidden = tuple(f"{one.removeprefix(APP + '/')}/" for one in mounts)

        def skip(path: str) -> bool:
            name = path.rsplit("/", 1)[-1]
            return path == ".git" or path.startswith(hidden) or (writable and name == "__pycache__")

        out = site.root / f"{mount.strip('/').replace('/', '-')}.tar.zst"
        try:
            packed = await asyncio.to_thread(pack, folder, out, skip=skip)
        except Invalid as error:
            raise BuildFault(f"What the build left in {mount} cannot be kept: {error}") from error
        except PermissionError as error:
            shown = str(error.filename).replace(str(folder), mount)
            raise BuildFault(f"The build left {shown}, which cannot be read.", hint="Let it be readable.") from error
        await self.blobs.put_file(out, move=True)
        return Layer(packed.digest, mount, writable, packed.size)

    def _room(self, site: _Site, step: Step, place: Path, folders: Mapping[str, Path]) -> Room:
        job, plan, toolchain = site.job, site.plan, site.toolchain
        mounts = [Mount(place, APP, writable=True), *self.tools.mounts(), *self.registries.mounts]
        mounts += [Mount(Path(path), path) for path in toolchain.host_paths]
        mounts += [Mount(folder, mount, writable=True) for mount, folder in folders.items()]
        workspace, scratch = job.build.workspace_id, site.root / "cache"
        caches = {name: scratch / name if job.fresh else self.caches.folder(workspace, name) for name in step.caches}
        mounts += [self._owned(job, folder, f"{CACHES}/{name}") for name, folder in caches.items()]
        home = site.root / "home"
        home.mkdir(exist_ok=True)
        if self.registries.npmrc:
            write_files(home, {".npmrc": self.registries.npmrc})
        mounts.append(self._owned(job, home, HOME))
        path = [*plan.path, f"{APP}/node_modules/.bin", f"{TOOLS}/bin", *toolchain.path, *SYSTEM_PATH]
        base = {
            "LANG": "C.UTF-8",
            "CI": "true",
            **self.registries.environment,
            **plan.environment,
            **kept_by({name for one in plan.steps for name in one.caches}),
            "HOME": HOME,
            "PATH": ":".join(dict.fromkeys(path)),
        }
        uid = self.sandbox.uid(owner_of(job))
        written = () if job.fresh else tuple(caches.values())
        filled = Filled(site.root, written, uid if uid != os.geteuid() else None)
        environment = environment_of(base, job.variables.values, step.environment)
        return Room(toolchain.program, mounts, environment, filled)

    def _owned(self, job: Job, folder: Path, target: str) -> Mount:
        new = not folder.exists()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if new or target == HOME:
            self.sandbox.adopt_owner(folder, owner_of(job))
        os.utime(folder)  # used now: caches that nobody uses go first
        return Mount(folder, target, writable=True)

    def _key(self, site: _Site, step: Step) -> str:
        """What the step's result depends on, as a hash."""
        user = site.job.variables.values
        parts = {
            "format": _FORMAT,
            "provider": site.plan.provider,
            "step": [step.commands, step.files, step.output, step.environment],
            "inputs": hashes(site.app, step.inputs),
            "before": {mount: output.layer.digest for mount, output in site.outputs.items()},
            "runtime": [site.toolchain.name, site.toolchain.version, site.toolchain.program, platform.machine()],
            "tools": self.tools.version,
            "registries": self.registries.environment,
            "variables": {name: value for name, value in user.items() if name.startswith(INSTALLERS)},
        }
        return hashlib.sha256(canonical_json(parts)).hexdigest()


def _served(site: _Site) -> None:
    """Looks whether the build left what is to be served. BuildFault when it did not."""
    below = PurePosixPath(site.plan.serves).relative_to(APP)
    folder = (site.app / below).resolve()
    if not folder.is_relative_to(site.app.resolve()) or not folder.is_dir() or not any(folder.iterdir()):
        raise BuildFault(
            f"The build left no files in {below}, which is to be served.",
            hint="Set output_directory in lightrail.toml to the folder that it writes, or set start_command.",
        )


def _locks(app: Path, plan: BuildPlan) -> list[Material]:
    """The files that steps name as all they depend on, as they were uploaded."""
    named = dict.fromkeys(path for step in plan.steps if step.inputs != EVERYTHING for path in step.inputs)
    return [Material(path, f"sha256:{digest}") for path, digest in hashes(app, named).items()]


def _forget(place: Path, files: Mapping[str, str]) -> None:
    """Removes what the plan brought along from the source again."""
    for folder in {Path(path).parts[0] for path in files}:
        remove(place / folder)

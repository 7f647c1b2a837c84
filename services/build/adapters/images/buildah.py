"""The buildah builder: images without a daemon, in a store of the platform's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from libs.blobs.port import Blobs
from libs.kernel.clock import Clock
from libs.kernel.errors import Unavailable
from libs.plans.faults import BuildFault
from libs.plans.plan import BuildPlan
from libs.sandbox.cgroups import Group
from libs.sandbox.mounts import overlays_of
from services.build.adapters.disk import TICK, DiskWatch, Written
from services.build.adapters.images.built import ImageBuilt, make, name_of, of_stack, stack_for
from services.build.adapters.images.kept import Shelf
from services.build.adapters.images.mounts import reaching_out
from services.build.adapters.images.programs import Said, ask, follow
from services.build.adapters.images.progress import Begun, Ended, Event, Line
from services.build.adapters.images.recipes import Kitchen, Recipe
from services.build.adapters.images.registry import LOGINS, Registry
from services.build.adapters.images.rooms import Rooms
from services.build.adapters.images.telling import Teller
from services.build.app.ports import Job, Output
from services.build.domain.model import Image

_LOAD_SECONDS: Final = 300.0
_PUSH_SECONDS: Final = 600.0
_STEP: Final = re.compile(r"^(?:\[\d+/\d+\] )?STEP \d+/\d+: (.*)$", re.DOTALL)
_ERROR: Final = re.compile(r"^(?:Error: |error )building at STEP ", re.DOTALL)
_CODE: Final = re.compile(r"exit status (\d+)")
_OWN: Final = re.compile(r"^(\[\d+/\d+\] )?COMMIT |^--> |^Successfully tagged |^subprocess exited with|^[0-9a-f]{64}$")
_IMAGE: Final = re.compile(r"^[0-9a-f]{64}$")
_CACHED: Final = "--> Using cache "


@dataclass(slots=True)
class Steps:
    """Reads what buildah prints."""

    now: str = ""
    failed: str = ""
    code: int | None = None
    last: str = ""
    # Images of earlier builds that were taken over.
    used: set[str] = field(default_factory=set)

    def read(self, line: str) -> list[Event]:
        """What a line says."""
        text = line.rstrip("\r")
        if text.strip():
            self.last = text.strip()
        if match := _STEP.match(text):
            self.now = match[1]
            return [Begun(self.now)]
        if self.now and (match := _ERROR.match(text)):
            # Both the instruction and the reason may have quotes and colons.
            reason = text[match.end() :].removeprefix(f'"{self.now}": ')
            self.failed, self.last = self.now, reason.strip()
            code = _CODE.search(reason)
            self.code = int(code[1]) if code else None
            return [Ended(self.now, "ERROR")]
        if text.startswith(_CACHED):
            if _IMAGE.match(ident := text.removeprefix(_CACHED).strip()):
                self.used.add(ident)
            return [Ended(self.now, "CACHED")]
        return [] if not self.now or _OWN.match(text) else [Line(self.now, text)]


@dataclass(frozen=True, slots=True)
class BuildahBuilder:
    """Keeps images below `home`; `stacks` is the folder of stacks made on this machine."""

    home: Path
    kitchen: Kitchen
    stacks: Path
    blobs: Blobs
    clock: Clock
    rooms: Rooms
    environ: Mapping[str, str]
    # Of the builds: host or none; empty is host, as there is no daemon that would make another.
    network: str = ""
    registry: Registry | None = None
    disk: DiskWatch | None = None
    # The folder of the operator's logins to registries for builds; none: those of the user we run as.
    logins: Path | None = None
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)
    # Whether a build was cut off: it leaves its working containers in the store, mounted.
    _cut_off: list[bool] = field(default_factory=lambda: [True])
    # The storage driver that works here, once it is known.
    _storage: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What it is called."""
        return "buildah"

    @property
    def shelf(self) -> Shelf:
        """Its store on the disk."""
        return Shelf(self.home, self.clock)

    async def identify(self, image: str) -> str:
        """The id of an image in the store; empty when it has none of that name."""
        found = await self.inspect(image)
        return f"sha256:{found['FromImageID']}" if found else ""

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> ImageBuilt:
        """Builds the image."""
        recipe = await asyncio.to_thread(self.kitchen.prepare, job, plan)
        await self._bases(recipe)
        return await make(self, job, plan, recipe, output)

    async def clean(self, build_id: str) -> None:
        """Ends what a killed process of this build's left."""
        await self.rooms.end(build_id)
        if not self._cut_off or not (self.home / "root").is_dir():
            return
        with self.shelf.alone() as nobody_builds:
            if nobody_builds:
                await self.ask("rm", "--all")
                await asyncio.to_thread(self.shelf.sweep)
                self._cut_off.clear()

    async def run(self, job: Job, recipe: Recipe, name: str, output: Output) -> None:
        """Builds a recipe's target; without a name only to see whether it can be built. BuildFault when it cannot."""
        steps, teller = Steps(), Teller(recipe, output)
        text = await asyncio.to_thread(recipe.dockerfile.read_text, encoding="utf-8", errors="replace")
        if recipe.own and (place := reaching_out(text)):
            raise BuildFault(
                f"Dockerfile, line {place}: buildah does not keep mounts of this kind inside of the build: only secret "
                "and tmpfs may be mounted.",
                hint='Copy what the command needs, or build with builder = "docker".',
            )

        async def hear(line: str) -> None:
            for event in steps.read(line):
                await teller.tell(event)

        argv = [*self._apart(), *await self._program(), *self._words(recipe, name)]
        async with self.shelf.shared():
            self._cut_off[:] = [True]
            async with self.rooms.room(job.build.id) as group, self._watched(group, text):
                code = await follow(argv, self._environment(recipe.inherited), hear, doors=group.doors if group else ())
                oom = group.oom() if group else False
            await asyncio.to_thread(self.shelf.note, steps.used, text)
        await teller.close()
        if oom:
            raise teller.out_of_memory(steps.failed or steps.now, self.rooms.limits.memory_bytes)
        if code != 0:
            raise teller.fault(steps.failed, steps.code, steps.last)

    async def published(self, job: Job, output: Output) -> Image:
        """The image as it can be had: from the registry by its digest, else from the platform's own store."""
        name = name_of(job)
        found = await self.inspect(name)
        if found is None:
            raise Unavailable(f"The image {name}, which had just been made, is gone.")
        size = sum(layer["size"] for layer in json.loads(found["Manifest"])["layers"])
        if self.registry is None:
            return Image(name, f"sha256:{found['FromImageID']}", size)
        there = self.registry.name(job.build.service_id.lower(), job.build.id.lower())
        digest = await self._push(self.registry, name, there)
        reference = f"{there.rsplit(':', 1)[0]}@{digest}"
        await output.say("publish", f"pushed {reference}")
        return Image(reference, digest, size)

    async def inspect(self, name: str) -> dict[str, Any] | None:
        """What the store knows of an image; None when it has none of that name."""
        said = await self.ask("inspect", "--type", "image", name)
        found: dict[str, Any] | None = json.loads(said.out) if said.code == 0 else None
        return found

    async def ask(self, *words: str, seconds: float = 60.0) -> Said:
        """Runs a short command on the platform's own store."""
        return await ask([*await self._program(), *words], self._environment(), seconds=seconds)

    async def _push(self, registry: Registry, name: str, there: str) -> str:
        with registry.credentials() as folder, TemporaryDirectory(dir=self.home) as place:
            note = Path(place) / "digest"
            words = ["push", "--quiet", "--authfile", str(folder / "config.json"), "--digestfile", str(note)]
            words += ["--tls-verify=false"] if registry.insecure else []
            async with self.shelf.shared():
                said = await self.ask(*words, name, f"docker://{there}", seconds=_PUSH_SECONDS)
            if said.code != 0:
                raise Unavailable(f"The image could not be pushed to {registry.address}: {said.err.strip()[-300:]}")
            return (await asyncio.to_thread(note.read_text, encoding="ascii")).strip()

    async def _bases(self, recipe: Recipe) -> None:
        """Sees to it that the stack's own images are there. BuildFault when they were never made."""
        own = of_stack(recipe)
        if not own:
            return
        stack = await asyncio.to_thread(stack_for, self.stacks, own)
        async with self._loading, self.shelf.shared():
            for image in own:
                found = await self.inspect(image)
                if found is None or f"sha256:{found['FromImageID']}" != stack.images[image]:
                    source = f"docker-archive:{stack.archive}:{image}"
                    said = await self.ask("pull", "--quiet", source, seconds=_LOAD_SECONDS)
                    if said.code != 0:
                        raise Unavailable(f"The stack could not be loaded: {said.err.strip()[-300:]}")

    def _words(self, recipe: Recipe, name: str) -> Sequence[str]:
        words = ["bud", "--isolation", "chroot", "--layers", "--format", "oci", "--network", self.network or "host"]
        # Who may change the root leaves a changed root.
        words += ["--cap-drop", "CAP_SYS_CHROOT"]
        words += [*recipe.caching, "--file", str(recipe.dockerfile)]
        ignore = recipe.dockerfile.with_name("Dockerfile.dockerignore")
        words += ["--ignorefile", str(ignore)] if ignore.exists() else []
        words += ["--tag", name] if name else []
        words += [word for pair in recipe.labels.items() for word in ("--label", "=".join(pair))]
        words += [word for pair in recipe.arguments.items() for word in ("--build-arg", "=".join(pair))]
        words += [word for one in recipe.inherited for word in ("--build-arg", one)]
        words += [word for one, path in recipe.secrets.items() for word in ("--secret", f"id={one},src={path}")]
        words += ["--target", recipe.target] if recipe.target else []
        return [*words, str(recipe.context)]

    def _watched(self, group: Group | None, text: str) -> AbstractAsyncContextManager[None]:
        """What the build writes in the store is watched: in the layers that its own processes have mounted."""
        if self.disk is None:
            return nullcontext()
        seen = dict.fromkeys(self.shelf.mounts_of(text))
        overlays = self.home / "root" / "overlay"
        if group is None or not overlays.is_dir():
            # Layers of this build and those of others cannot be told apart.
            seen[self.home / "root"] = None

        def pids() -> Iterable[int]:
            return group.members() if group else ()

        def folders() -> Iterable[Path]:
            seen.update(dict.fromkeys(overlays_of(pids(), overlays)))
            # At the end its processes are gone, and what they had is still known.
            return list(seen)

        return self.disk(Written(self.home, folders, self.clock.now().timestamp() - TICK, pids))

    def _apart(self) -> list[str]:
        """What goes before the program: commands see no process of the machine's, and end with the program."""
        unshare = shutil.which("unshare", path=self.environ.get("PATH", os.defpath))
        if unshare is None or os.geteuid() != 0:
            return []
        return [unshare, "--pid", "--fork", "--mount-proc", "--kill-child=KILL", "--"]

    async def _program(self) -> list[str]:
        program = shutil.which("buildah", path=self.environ.get("PATH", os.defpath))
        if program is None:
            raise Unavailable(
                "Images cannot be built: the program buildah was not found.", hint="Install Debian's package buildah."
            )
        if not self._storage:
            for folder in ("root", "run", "tmp"):
                (self.home / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
            # Files on an overlay of somebody else's cannot be the ground of another: then whole copies are kept.
            probe = [program, *self._store("overlay"), "info"]
            works = (await ask(probe, self._environment())).code == 0
            self._storage.append("overlay" if works else "vfs")
        return [program, *self._store(self._storage[0])]

    def _store(self, driver: str) -> list[str]:
        return ["--root", str(self.home / "root"), "--runroot", str(self.home / "run"), "--storage-driver", driver]

    def _environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """What the program gets as environment: nothing of the platform's own; caches lie in TMPDIR."""
        kept = {name: self.environ[name] for name in ("PATH", "HOME", "LANG") if name in self.environ}
        logins = {"REGISTRY_AUTH_FILE": str(self.logins / LOGINS)} if self.logins else {}
        return {"PATH": os.defpath, **kept, **logins, "TMPDIR": str(self.home / "tmp"), **(extra or {})}

"""A builder under test, on a source that a test writes down."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from libs.kernel.units import MIB
from libs.plans.detect import make_plan
from libs.plans.plan import PlanSettings
from libs.sandbox.cgroups import open_groups
from libs.sandbox.spec import Limits
from services.build.adapters.disk import DiskWatch
from services.build.adapters.images.recipes import Kitchen, platform_of
from services.build.adapters.images.registry import Registry
from services.build.adapters.images.rooms import Rooms
from services.build.app.building import Built
from services.build.app.keeping import Images
from services.build.app.ports import Job, Output, Variables
from services.build.domain.log import Lines
from services.build.domain.model import Artifact, Build, BuildState
from services.build.domain.provenance import Origin
from tests.integration.build.sites import EXAMPLES, Site, archive_of


class Heard:
    """Output as it would be kept: lines with their step, values of secrets masked."""

    def __init__(self, secrets: frozenset[str]) -> None:
        self.lines: list[tuple[str, str]] = []
        self._secrets = secrets
        self._open: dict[tuple[str, str], Lines] = {}

    async def say(self, step: str, text: str) -> None:
        self.lines.append((step, text))

    async def chunk(self, step: str, stream: str, data: bytes) -> None:
        lines = self._open.setdefault((step, stream), Lines(self._secrets))
        self.lines += [(step, line) for line in lines.feed(data)]

    async def flush(self, step: str) -> None:
        for (one, _), lines in self._open.items():
            self.lines += [(step, line) for line in lines.end() if one == step]

    def recent(self, step: str) -> list[str]:
        return [text for one, text in self.lines if one == step][-20:]

    def texts(self, step: str) -> list[str]:
        return [text for one, text in self.lines if one == step]


Make = Callable[[Job, Any, Output], Awaitable[Built]]


async def _nothing(_artifact: Artifact) -> Any:
    raise AssertionError


def _show_nothing(_name: str, _value: str) -> None:
    raise AssertionError


@dataclass(slots=True)
class Workshop:
    """Builds with one driver; `contents` gives all bytes that an artifact consists of."""

    site: Site
    driver: str
    make: Make
    contents: Callable[[Artifact], Awaitable[bytes]] = _nothing
    # What the image of an artifact is set to.
    settings: Callable[[Artifact], Awaitable[dict[str, Any]]] = _nothing
    # Sets a variable of the machine's own.
    show_host: Callable[[str, str], None] = _show_nothing
    # Where images lie, as a collection of this platform sees it.
    store: Images | None = None
    # The same, with a registry to push to; and a way to get an image from there, which gives its working directory.
    pushing: Callable[[Registry], Workshop] | None = None
    pull: Callable[[str, Registry], Awaitable[str]] | None = None
    # The same with other limits, and a watch on the disk.
    limiting: Callable[[Limits, DiskWatch | None], Workshop] | None = None
    # The folder that everything of the builder's lies in, layers as files.
    place: Path | None = None
    heard: Heard = field(default_factory=lambda: Heard(frozenset()))
    origin: Origin = field(default_factory=lambda: Origin(""))
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1_000)))

    def limited(self, limits: Limits, disk: DiskWatch | None = None) -> Workshop:
        """A workshop on the same ground with other limits."""
        assert self.limiting
        return self.limiting(limits, disk)

    async def build(
        self,
        source: str | Mapping[str, str],
        *,
        secrets: Mapping[str, str] | None = None,
        output: Output | None = None,
        **settings: Any,
    ) -> Artifact:
        """Builds an example by its name, or texts by path; settings are those of plans."""
        values = dict(secrets or {})
        self.heard = Heard(frozenset(values.values()))
        folder: Path | Mapping[str, str] = EXAMPLES / source if isinstance(source, str) else source

        async def chunks() -> AsyncIterator[bytes]:
            yield await asyncio.to_thread(archive_of, folder)

        digest, _ = await self.site.archives.receive(chunks())
        build = Build(
            f"bld_{next(self.numbers)}", "wsp_1", "prj_1", "svc_1", "env_1", "dep_1", "snp_1", BuildState.RUNNING,
            self.site.clock.now(),
        )  # fmt: skip
        job = Job(build, digest, Variables(values, frozenset(values.values())))
        try:
            plan = make_plan(await self.site.builder.fetch(job), PlanSettings(**settings), builder=self.driver)
            built = await self.make(job, plan, output or self.heard)
            self.origin = built.origin
            if plan.test:
                await built.test(plan.test, output or self.heard)
            return await built.publish(output or self.heard)
        finally:
            await self.site.builder.clean(build.id)


def kitchen_of(site: Site, told: Mapping[str, str] | None = None) -> Kitchen:
    """What prepares recipes for the stack made here; `told` is the machine's environment instead of its own."""
    slug = site.builder
    registries = slug.registries if told is None else replace(slug.registries, environment=told)
    return Kitchen(slug.work, site.home / "build" / "variables.key", registries, "debian", "tests")


def rooms_of(site: Site, *, memory: int = 2048 * MIB) -> Rooms:
    return Rooms(open_groups(f"{platform_of(site.home)}-images"), Limits(memory, 2000, 2048, 4096 * MIB), site.clock)


def holding(folder: Path, text: str) -> list[str]:
    """Files below a folder that hold a text somewhere. Blocks."""
    argv = ["grep", "--recursive", "--devices=skip", "--binary-files=text", "--fixed-strings", "--files-with-matches"]
    done = subprocess.run([*argv, "-e", text, str(folder)], capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def alive(word: str) -> list[int]:
    """Processes of this machine that have the word among their arguments."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word.encode() in words:
                found.append(int(folder.name))
    return found

"""Programs that scan, each in the sandbox with caps and a deadline, without a network unless a mirror is configured."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import libs
from libs.blobs.archive import ArchiveLimits, unpack
from libs.blobs.port import Blobs
from libs.kernel.errors import Invalid, NotFound
from libs.kernel.units import MIB, show_bytes
from libs.plans.plan import Runtime
from libs.sandbox.spec import Limits, Mount, Spec
from libs.scan import syft, trivy
from libs.scan.locks.reading import Unreadable
from libs.scan.survey import Surveyed, surveyed_of
from services.build.adapters.runtimes import Runtimes
from services.build.adapters.slug import SandboxOwner
from services.build.adapters.workdir import WorkDirs
from services.build.app.ports import Job
from services.build.app.scanning import LookedUp, Missing

# Bytes of the longest answer that is read.
LONGEST_ANSWER: Final = 64 * MIB
_LONGEST_WORDS: Final = 16 * 1024
PLACE: Final = "/scan"
FOLDERS: Final = ("survey", "syft", "trivy")
_LIBRARY: Final = "/opt/lightrail"
_BINARY: Final = b"\x7fELF"
_PATH: Final = "/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Bench:
    """Where scanning programs run: one folder a scan, removed with it; `seconds` is how long each may take."""

    sandbox: SandboxOwner
    folders: WorkDirs
    blobs: Blobs
    limits: Limits
    seconds: float

    @asynccontextmanager
    async def folder(self, job: Job, name: str) -> AsyncIterator[Path]:
        """An empty folder, gone with the body."""
        key = f"{job.build.id}-{name}"
        try:
            yield await asyncio.to_thread(self.folders.fresh, key)
        finally:
            await asyncio.to_thread(self.folders.clean, key)

    async def run(
        self, argv: Sequence[str], mounts: Sequence[Mount], owner: str, env: Mapping[str, str], *, network: bool = False
    ) -> str | Missing:
        """What the program prints; Missing when it fails, takes too long, or prints too much."""
        heard: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}

        async def listen(stream: str, data: bytes) -> None:
            kept = heard[stream]
            kept += data
            if stream == "stderr":
                del kept[:-_LONGEST_WORDS]
            elif len(kept) > LONGEST_ANSWER:
                raise Invalid(f"it printed more than {show_bytes(LONGEST_ANSWER)}")

        spec = Spec(
            argv=argv, env={"PATH": _PATH, "LANG": "C.UTF-8", **env}, cwd=PLACE, mounts=mounts, owner=owner,
            network=network, limits=self.limits,
        )  # fmt: skip
        try:
            ended = await self.sandbox.run(spec, output=listen, timeout=self.seconds)
        except Invalid as error:
            return Missing(str(error))
        if ended.timed_out:
            return Missing(f"it took longer than {self.seconds:.0f} seconds")
        if ended.oom:
            return Missing(f"it ran out of memory (limit {show_bytes(self.limits.memory_bytes or 0)})")
        if ended.code != 0:
            words = _last(bytes(heard["stderr"]))
            return Missing(f"it ended with exit code {ended.code}{f': {words}' if words else ''}")
        return heard["stdout"].decode("utf-8", errors="replace")


@dataclass(frozen=True, slots=True)
class SandboxedSurveyor:
    """Our own survey, by the worker of `libs.scan`."""

    bench: Bench
    runtimes: Runtimes

    async def survey(self, job: Job, root: str) -> Surveyed | Missing:
        """What the archive holds."""
        owner = f"scan:{job.build.workspace_id}"
        python = await self.runtimes.find(Runtime("files"))
        async with self.bench.folder(job, "survey") as place:
            await asyncio.to_thread(shutil.copyfile, await self.bench.blobs.path(job.snapshot_digest), place / "source")
            await asyncio.to_thread(self.bench.sandbox.adopt_owner, place, owner)
            mounts = [Mount(place, PLACE), *_library(), *(Mount(Path(path), path) for path in python.host_paths)]
            argv = [python.program, "-s", "-B", "-m", "libs.scan.worker", f"{PLACE}/source", root]
            told = await self.bench.run(argv, mounts, owner, {"PYTHONPATH": _LIBRARY})
        if isinstance(told, Missing):
            return Missing(f"the survey of the source failed: {told.why}")
        return await asyncio.to_thread(lambda: surveyed_of(json.loads(told)))


@dataclass(frozen=True, slots=True)
class Syft:
    """Syft's list of packages; `program` is empty where there is none."""

    bench: Bench
    program: str
    source_limits: ArchiveLimits

    async def list(self, job: Job, name: str) -> tuple[Mapping[str, Any], str] | Missing | None:
        """The document, the same for the same source, and “Syft” with its version."""
        if not self.program:
            return None
        owner = f"scan:{job.build.workspace_id}"
        async with self.bench.folder(job, "syft") as place:
            try:
                archive = await self.bench.blobs.path(job.snapshot_digest)
                limits, digest = self.source_limits, job.snapshot_digest
                await asyncio.to_thread(unpack, archive, place / "source", limits=limits, digest=digest)
                await asyncio.to_thread(self.bench.sandbox.adopt_owner, place, owner)
            except OSError as error:
                return Missing(f"Syft could not be given the source: {error.strerror}")
            mounts = [Mount(place, PLACE, writable=True), Mount(Path(self.program), "/opt/scan/syft")]
            argv = syft.ask("/opt/scan/syft", f"{PLACE}/source")
            told = await self.bench.run(argv, mounts, owner, {"HOME": PLACE, **syft.ENVIRONMENT})
        if isinstance(told, Missing):
            return Missing(f"Syft failed: {told.why}")
        try:
            document, version = await asyncio.to_thread(syft.read_answer, told, name=name)
        except Unreadable as error:
            return Missing(f"Syft failed: {error}")
        return document, f"Syft {version}".strip()


@dataclass(frozen=True, slots=True)
class Trivy:
    """Trivy's database. `cache` is its cache directory; `repository` the mirror to fetch the database from, or empty.

    Trivy gets the bill of materials and nothing else, so nobody's source can make it do anything.
    """

    bench: Bench
    program: str
    cache: Path
    repository: str = ""

    async def look_up(self, job: Job, bill: bytes) -> LookedUp | Missing:
        """The vulnerabilities of the bill's packages."""
        if not self.program:
            return Missing("this platform has no vulnerability scanner (Trivy)")
        if not self.repository and not await asyncio.to_thread((self.cache / "db" / "trivy.db").is_file):
            return Missing(f"Trivy has no database in {self.cache}")
        owner = "scan:trivy"
        async with self.bench.folder(job, "trivy") as place:
            await asyncio.to_thread(_laid, place, bill)
            await asyncio.to_thread(self.bench.sandbox.adopt_owner, place, owner)
            mounts = [Mount(place, PLACE, writable=True), Mount(Path(self.program), "/opt/scan/trivy")]
            if self.repository:
                await asyncio.to_thread(self._shared, owner)
                mounts.append(Mount(self.cache, f"{PLACE}/cache", writable=True))
            else:
                mounts.append(Mount(self.cache / "db", f"{PLACE}/cache/db"))
            argv = trivy.ask(
                "/opt/scan/trivy", f"{PLACE}/bill.cdx.json", f"{PLACE}/cache",
                repository=self.repository, seconds=int(self.bench.seconds),
            )  # fmt: skip
            network = bool(self.repository)
            told = await self.bench.run(argv, mounts, owner, {"HOME": PLACE, "TMPDIR": PLACE}, network=network)
        if isinstance(told, Missing):
            return Missing(f"Trivy failed: {told.why}")
        try:
            found = await asyncio.to_thread(trivy.read_answer, told)
        except Unreadable as error:
            return Missing(f"Trivy failed: {error}")
        return LookedUp("Trivy", await asyncio.to_thread(self._date), tuple(found))

    def _shared(self, owner: str) -> None:
        self.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.bench.sandbox.adopt_owner(self.cache, owner)

    def _date(self) -> str:
        try:
            return trivy.database_date((self.cache / "db" / "metadata.json").read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError):
            return ""  # a database without metadata is still one; its day is not known


@dataclass(frozen=True, slots=True)
class BlobBills:
    """Bills of materials in the blob store; what no report names is collected."""

    blobs: Blobs

    async def put(self, content: bytes) -> str:
        """Keeps one."""
        return (await self.blobs.put_bytes(content)).digest

    async def read(self, digest: str) -> bytes:
        """One by its digest."""
        try:
            return b"".join([piece async for piece in self.blobs.open_read(digest)])
        except NotFound as error:
            raise NotFound("This bill of materials is kept no longer.", hint="Deploy the source again.") from error


def find_program(told: str, name: str) -> str:
    """The path of a scanner: the one configured, else a binary on the PATH; empty when there is none or it is “off”."""
    if told == "off":
        return ""
    if told:
        if not Path(told).is_file():
            raise Invalid(f"{told} is no program.", hint=f"Give the path of {name}, or “off”.")
        return told
    found = shutil.which(name)
    if not found:
        return ""
    with Path(found).open("rb") as file:
        # A script of this name starts something else that lies elsewhere, where the sandbox shows nothing.
        return found if file.read(len(_BINARY)) == _BINARY else ""


def _library() -> list[Mount]:
    return [Mount(Path(place), f"{_LIBRARY}/libs") for place in list(libs.__path__)[:1]]


def _laid(place: Path, bill: bytes) -> None:
    (place / "cache" / "db").mkdir(parents=True)
    (place / "bill.cdx.json").write_bytes(bill)


def _last(words: bytes) -> str:
    lines = [line.strip() for line in words.decode("utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""

"""Build on a real database, with a builder and a project service that do as they are told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

from libs.attest.dsse import IN_TOTO, seal
from libs.attest.keys import SigningKey
from libs.db import Database
from libs.facts import Outbox
from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound
from libs.kernel.ids import new_id
from libs.kernel.units import GIB
from libs.plans.plan import BuildPlan, PlanSettings, Step
from libs.plans.tree import Tree, tree_of
from libs.testing.faults import Faulty, Plan
from services.build.app.building import Built, Scanner
from services.build.app.builds import BuildDesk
from services.build.app.calloff import CallOff
from services.build.app.fetching import Checkout, Fetching, SourceSecrets
from services.build.app.pipeline import Pipeline
from services.build.app.ports import Job, Output, ServiceRef, Variables
from services.build.app.provenance import ProvenanceDesk
from services.build.app.queue import Queue
from services.build.app.reactions import Reactions, Wanted
from services.build.app.reuse import Reuse
from services.build.app.run import BuildRunner
from services.build.app.uploads import Uploads
from services.build.app.wakes import Wakes
from services.build.domain.model import Artifact, Build, Layer, Snapshot, canonical_json
from services.build.domain.provenance import Material, Origin
from services.build.domain.queue import Free, Rules
from services.build.domain.source import Commit, GitWish
from services.build.events.codec import encode
from services.build.loops.builds import BuildLoop
from services.build.store.artifacts import OutboxFacts, PostgresArtifacts, PostgresSnapshots
from services.build.store.builds import PostgresBuilds
from services.build.store.log import PostgresLog
from services.build.store.pushes import PostgresPushes
from services.build.store.scans import PostgresReports

MIGRATIONS = Path(__file__).parents[3] / "services" / "build" / "store" / "migrations"
LAYER = Layer("sha256:" + "1" * 64, "/app", writable=True, size_bytes=10)


async def quiet(_job: Job, _plan: BuildPlan, _output: Output) -> None:
    """A build that has nothing to say."""


async def passed(_step: Step, _output: Output) -> None:
    """A test that has nothing against it."""


class ToldBuilt:
    """What a told builder built."""

    def __init__(self, artifact: Artifact, test: Callable[[Step, Output], Awaitable[None]]) -> None:
        self.artifact = artifact
        self._test = test

    @property
    def origin(self) -> Origin:
        return Origin("told", (Material("lock.txt", "sha256:" + "3" * 64),))

    async def test(self, step: Step, output: Output) -> None:
        await self._test(step, output)

    async def publish(self, _output: Output) -> Artifact:
        return self.artifact


class ToldBuilder:
    """Builds what it is told, without a sandbox."""

    def __init__(self) -> None:
        self.files = {"main.py": "print(1)\n"}
        self.script: Callable[[Job, BuildPlan, Output], Any] = quiet
        self.tested: Callable[[Step, Output], Awaitable[None]] = passed
        self.secrets: frozenset[str] = frozenset()
        self.fetched = 0
        self.built = 0
        self.runtime = "3.11"
        # Artifacts of which something is gone.
        self.lost: set[str] = set()
        self.stopped = 0
        self.dirty: set[str] = set()
        # Puts what it gives away behind the same faults as itself.
        self.wrapped: Callable[[Any], Any] = lambda built: built

    async def fetch(self, job: Job) -> Tree:
        self.fetched += 1
        self.dirty.add(job.build.id)
        return tree_of(self.files)

    async def machine(self, _plan: BuildPlan) -> Mapping[str, Any] | None:
        return {"runtime": self.runtime} if self.runtime else None

    async def holds(self, artifact: Artifact) -> bool:
        return artifact.digest not in self.lost

    async def build(self, job: Job, plan: BuildPlan, output: Output) -> Built:
        self.built += 1
        try:
            await self.script(job, plan, output)
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        made = Artifact((LAYER,), plan.start_command, "/app", plan.kind, plan.provider)
        return cast("Built", self.wrapped(ToldBuilt(made, self.tested)))

    async def clean(self, build_id: str) -> None:
        self.dirty.discard(build_id)


@dataclass
class ToldProjects:
    """A project service with the services it is told of."""

    services: dict[str, ServiceRef] = field(default_factory=dict)
    told: PlanSettings = field(default_factory=PlanSettings)
    given: Variables = field(default_factory=Variables)
    opened: SourceSecrets = field(default_factory=SourceSecrets)
    kept: list[str] = field(default_factory=list)

    async def service(self, ctx: Ctx, service_id: str) -> ServiceRef:
        found = self.services.get(service_id)
        if found is None:
            raise NotFound(f"Service {service_id} does not exist.")
        ctx.allow(found.workspace_id, found.project_id, what=f"Service {service_id}")
        return found

    async def settings(self, build: Build) -> PlanSettings:
        return self.told

    async def variables(self, build: Build) -> Variables:
        return self.given

    async def secrets(self, build: Build) -> SourceSecrets:
        return self.opened

    async def keep_host_keys(self, build: Build, lines: Sequence[str]) -> None:
        self.kept += lines


@dataclass
class ToldRepositories:
    """Repositories with the one commit it is told of."""

    commit: Commit = field(default_factory=lambda: Commit("c" * 40, "First things first", "Ada"))
    changed: tuple[str, ...] | None = None
    host_keys: tuple[str, ...] = ()
    fetched: int = 0
    dropped: list[str] = field(default_factory=list)
    asked: list[GitWish] = field(default_factory=list)

    async def drop(self, service_id: str) -> None:
        self.dropped.append(service_id)

    async def fetch(self, build: Build, wish: GitWish, secrets: SourceSecrets, output: Output) -> Checkout:
        self.fetched += 1
        self.asked.append(wish)
        await output.say("fetch", f"{wish.url} {secrets.username}")
        return Checkout("sha256:" + "2" * 64, 20, self.commit, self.changed, self.host_keys)


class ToldMachine:
    """A machine with as much left as it is told."""

    def __init__(self) -> None:
        self.left = Free(memory=64 * GIB, disk=64 * GIB)

    async def free(self) -> Free:
        return self.left


@dataclass
class ToldDeployments:
    """A deploy that knows deployments without builds: id to workspace."""

    unbuilt: dict[str, str] = field(default_factory=dict)

    async def check(self, ctx: Ctx, deployment_id: str) -> None:
        ctx.allow(self.unbuilt.get(deployment_id, ""), what=f"Deployment {deployment_id}")


class KeptAttestations:
    """Statements signed with a key of its own, in memory."""

    def __init__(self) -> None:
        self.key = SigningKey.generate()
        self.kept: dict[str, bytes] = {}
        self.public_key = self.key.public.pem

    async def keep(self, statement: Mapping[str, Any]) -> str:
        envelope = seal(IN_TOTO, canonical_json(statement), self.key)
        digest = f"sha256:{hashlib.sha256(envelope).hexdigest()}"
        self.kept[digest] = envelope
        return digest

    def fingerprint(self, value: Mapping[str, Any]) -> str:
        return hashlib.sha256(canonical_json(value)).hexdigest()

    async def read(self, digest: str) -> bytes:
        return self.kept.get(digest, b"")


class World:
    """All of build but its outside."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        plan: Plan | None = None,
        *,
        deadline: float = 60.0,
        scanner: Scanner | None = None,
        rules: Rules | None = None,
        bills: MemoryBills | None = None,
    ) -> None:
        def faulty(target: Any) -> Any:
            return Faulty(target, plan) if plan else target

        self.db, self.clock = db, clock
        self.builder, self.projects, self.wakes = ToldBuilder(), ToldProjects(), Wakes()
        self.repositories, self.pushes = ToldRepositories(), PostgresPushes(db)
        self.builds, self.log = PostgresBuilds(db), PostgresLog(db)
        self.snapshots, self.artifacts = PostgresSnapshots(db), PostgresArtifacts(db)
        self.outbox = Outbox(db, "build", clock)
        facts = faulty(OutboxFacts(self.outbox, encode))
        builds, log = faulty(self.builds), faulty(self.log)
        self.call_off = CallOff(db.tx, facts, builds, log, self.wakes, clock)
        self.deployments = ToldDeployments()
        self.attestations = KeptAttestations()
        self.reports, self.bills = PostgresReports(db), bills or MemoryBills()
        self.desk = BuildDesk(
            self.builds, self.log, self.artifacts, self.call_off, self.wakes, self.deployments, self.reports, self.bills
        )
        self.provenance = ProvenanceDesk(self.desk, self.artifacts, self.attestations)
        self.reactions = Reactions(builds, self.call_off, self.repositories, clock)
        self.uploads = Uploads(db.tx, facts, self.snapshots, Kept(), self.projects, clock)
        self.builder.wrapped = faulty
        builder = faulty(self.builder)
        self.fetching = Fetching(
            db.tx,
            facts,
            builds,
            faulty(self.snapshots),
            faulty(self.projects),
            faulty(self.repositories),
            self.pushes,
            clock,
        )
        self.runner = BuildRunner(
            work=db.tx,
            facts=facts,
            builds=builds,
            log=log,
            artifacts=faulty(self.artifacts),
            builder=builder,
            pipeline=Pipeline(
                builds=builds,
                fetching=self.fetching,
                projects=faulty(self.projects),
                builder=builder,
                reuse=Reuse(builds, faulty(self.artifacts), builder, faulty(self.attestations), clock),
                attestations=faulty(self.attestations),
                clock=clock,
                version="1.2.3",
                scanner=scanner,
            ),
            wakes=self.wakes,
            clock=clock,
            owner=new_id("run", clock),
            deadline=deadline,
        )
        self.machine = ToldMachine()
        self.queue = Queue(
            work=db.tx,
            facts=facts,
            builds=builds,
            log=log,
            wakes=self.wakes,
            machine=self.machine,
            clock=clock,
            rules=rules or Rules(),
            patience=timedelta(minutes=45),
        )
        self.loop = BuildLoop(self.queue, self.runner)

    async def request(self, workspace: str = "", *, service: str = "") -> Build:
        """A build in the queue, with its snapshot."""
        workspace = workspace or new_id("workspace", self.clock)
        service = service or new_id("service", self.clock)
        digest = "sha256:" + "0" * 64
        snapshot = Snapshot(new_id("snapshot", self.clock), workspace, service, digest, 10, self.clock.now())
        await self.snapshots.add(snapshot, "prj_1")
        wanted = Wanted(new_id("deployment", self.clock), workspace, "prj_1", snapshot.service_id, "env_1", snapshot.id)
        await self.reactions.deployment_requested(wanted)
        found = await self.builds.of_deployment(wanted.deployment_id, None)
        assert found
        return found

    async def now(self, build: Build) -> Build:
        """The build as it is by now."""
        found = await self.builds.get(build.id, None)
        assert found
        return found

    async def texts(self, build: Build) -> list[str]:
        """Its log."""
        lines = await self.log.read(build.id, 0, 100_000)
        assert [line.number for line in lines] == list(range(1, len(lines) + 1)), "the log has gaps"
        return [line.text for line in lines]

    async def told(self, build: Build) -> list[str]:
        """The facts told about it, by their last words, in order."""
        await self.outbox.number()
        facts = await self.outbox.read(0, correlation_id=build.deployment_id)
        return [fact.subject.removesuffix(".v1").rpartition(".")[2] for fact in facts]

    async def drive(self) -> None:
        """One look of the loop and all the steps it finds."""
        for key in await self.loop.due():
            await self.loop.step(key)


class MemoryBills:
    """Bills of materials in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    async def put(self, content: bytes) -> str:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.kept[digest] = content
        return digest

    async def read(self, digest: str) -> bytes:
        if digest not in self.kept:
            raise NotFound("This bill of materials is kept no longer.")
        return self.kept[digest]


class Kept:
    """An archive door that takes everything."""

    async def receive(self, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        size = sum([len(chunk) async for chunk in chunks])
        return "sha256:" + "2" * 64, size


@contextlib.asynccontextmanager
async def running(work: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Future[None]]:
    """Runs a coroutine beside the body; whatever is left of it is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])

"""Deploy on a real database, with the other services and the edge played by plain objects."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from libs.db import Database
from libs.facts import Outbox
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.errors import Conflict, NotFound
from libs.protogen.lightrail.deploy.v1 import events_pb2
from libs.reconcile import Again
from libs.testing.clock import VirtualClock
from libs.testing.faults import Faulty, Plan
from services.deploy.app.commands import Commands, NewDeployment
from services.deploy.app.journal import Journal
from services.deploy.app.ports import Filter, Service, Source, Variables
from services.deploy.app.queries import Queries
from services.deploy.app.reactions import Reactions
from services.deploy.app.rollout import Rollout
from services.deploy.app.runtime import Runtime
from services.deploy.domain.facts import Fact
from services.deploy.domain.instance import Artifact, Launch
from services.deploy.domain.model import Deployment, Endpoint, Resources, Settings
from services.deploy.domain.steps import Check
from services.deploy.events.codec import encode
from services.deploy.loops.reaper import ReaperLoop
from services.deploy.loops.rollout import RolloutLoop
from services.deploy.store.logs import PostgresLogs
from services.deploy.store.postgres import PostgresStore
from tests.unit.deploy.memory_runtime import MemoryRuntime

OWNER = Ctx(Actor("user", "usr_a", {"wsp_a": Role.OWNER}), Role.DEVELOPER)
STRANGER = Ctx(Actor("user", "usr_b", {"wsp_b": Role.OWNER}), Role.VIEWER)
UPLOAD = NewDeployment(service_id="svc_a", snapshot_id="snp_a")
ARTIFACT = Artifact("sha256:1", (), "serve", {}, "/app", "web", (), "python")


@dataclass
class Others:
    """Project, build and router, as far as deploy asks them."""

    settings: Settings = field(default_factory=Settings)
    variables: dict[str, str] = field(default_factory=lambda: {"NAME": "value"})
    secret_names: tuple[str, ...] = ()
    # Of the variables.
    version: int = 1
    render_error: Exception | None = None
    # The image that artifacts are; empty: they have layers.
    image: str = ""
    origin: Source = field(default_factory=Source)
    # What exists in the workspace "wsp_a".
    alive: set[str] = field(default_factory=lambda: {"svc_a", "env_a", "prj_a"})
    published: list[tuple[str, tuple[Endpoint, ...], int]] = field(default_factory=list)
    refusal: str = ""

    async def service(self, ctx: Ctx, *, service_id: str = "", environment_id: str = "", name: str = "") -> Service:
        if ctx.workspaces is not None and "wsp_a" not in ctx.workspaces:
            raise NotFound("Service does not exist.")
        return Service(service_id or "svc_a", name or "web", "wsp_a", "prj_a", "env_a", "production", self.settings)

    async def source(self, ctx: Ctx, service_id: str, environment_id: str) -> Source:
        return self.origin

    async def allow(self, ctx: Ctx, *, service_id: str, environment_id: str, project_id: str) -> None:
        named = {id_ for id_ in (service_id, environment_id, project_id) if id_}
        if "wsp_a" not in (ctx.workspaces or ["wsp_a"]) or not named <= self.alive:
            raise NotFound("It does not exist, or is not yours to see.")

    async def render(self, ctx: Ctx, service_id: str, environment_id: str, deployment_id: str) -> Variables:
        if self.render_error is not None:
            raise self.render_error
        return Variables(dict(self.variables), self.version, self.secret_names)

    async def snapshot_service(self, ctx: Ctx, snapshot_id: str) -> str:
        return "svc_a"

    async def artifact(self, ctx: Ctx, digest: str) -> Artifact:
        return replace(ARTIFACT, digest=digest, image=self.image)

    async def claim(self, ctx: Ctx, service: Service) -> str:
        return "http://web-production.localhost:8080"

    async def publish(
        self, ctx: Ctx, pair: str, endpoints: Sequence[Endpoint], generation: int, deployment_id: str
    ) -> None:
        latest = max((g for p, _, g in self.published if p == pair), default=-1)
        if self.refusal:
            raise Conflict(self.refusal)
        if generation < latest:
            raise Conflict(f"Endpoints of generation {latest} are published; generation {generation} came too late.")
        self.published.append((pair, tuple(endpoints), generation))

    async def generation(self, ctx: Ctx, pair: str) -> int:
        return max((g for p, _, g in self.published if p == pair), default=0)

    async def in_flight(self, ctx: Ctx, pair: str) -> int:
        return 0


class PlainKeyring:
    """Binds to the context, hides nothing."""

    async def seal(self, plain: bytes, context: str) -> bytes:
        return context.encode() + b"|" + plain

    async def open(self, sealed: bytes, context: str) -> bytes:
        bound, _, plain = sealed.partition(b"|")
        assert bound == context.encode()
        return plain


class Watched:
    """A runtime that remembers what it was asked to start."""

    def __init__(self, runtime: Runtime, launches: list[Launch]) -> None:
        self._runtime = runtime
        self._launches = launches

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    async def start(self, launch: Launch) -> None:
        self._launches.append(launch)
        await self._runtime.start(launch)


class World:
    """Everything of deploy but its doors. `faults` breaks the nth call of any port."""

    everything = Filter()

    def __init__(self, db: Database, runtime: MemoryRuntime, clock: VirtualClock, faults: Plan | None = None) -> None:
        self.memory = runtime
        plan = faults or Plan()
        self.db = db
        self.others = Others()
        self.healthy = True
        outbox = Outbox(db, "deploy", clock)

        async def record(fact: Fact) -> None:
            await outbox.record(encode(fact))

        self.store = PostgresStore(db, record)
        self.logs = PostgresLogs(db, keep_days=30)
        store = cast("PostgresStore", Faulty(self.store, plan))
        others = cast("Others", Faulty(self.others, plan))
        self.launches: list[Launch] = []
        self.runtime = cast("Runtime", Faulty(Watched(runtime, self.launches), plan))
        keyring = PlainKeyring()
        self.commands = Commands(store, others, others, keyring, clock)
        self.queries = Queries(self.store, self.logs, self.others)
        self.woken: list[str] = []
        self.reactions = Reactions(store, self.commands, self.woken.append)
        self.clock = clock
        self.journal = self.new_journal()
        rollout = Rollout(
            store=store,
            runtime=self.runtime,
            logs=self.logs,
            journal=self.journal,
            projects=others,
            builds=others,
            edge=others,
            keyring=keyring,
            commands=self.commands,
            clock=clock,
            defaults=Resources(0, 0, 1000, 2**28),
        )
        self.loop = RolloutLoop(store, self.runtime, self._probe, rollout, clock)
        self.reaper = ReaperLoop(store, self.runtime, others, self.journal, clock, lambda _pair: None)

    def new_journal(self) -> Journal:
        """A journal that remembers nothing, as after a restart."""
        return Journal(self.store, self.logs, self.runtime, PlainKeyring(), self.clock)

    async def _probe(self, port: int, path: str | None) -> Check:
        return Check(healthy=self.healthy)

    async def react(self, reaction: Awaitable[None]) -> None:
        """Runs a reaction as a follower does: in a transaction."""
        async with self.store.work():
            await reaction

    async def settle(self, rounds: int = 60) -> None:
        """Rounds until no pair wants a step soon."""
        for _ in range(rounds):
            busy = False
            for pair in await self.loop.due():
                outcome = await self.loop.step(pair)
                busy = busy or (isinstance(outcome, Again) and outcome.after < 1)
            for instance in await self.reaper.due():
                busy = True
                await self.reaper.step(instance)
            if not busy:
                return
            await self.clock.sleep(0.6)

    async def subjects(self) -> list[str]:
        rows = await self.db.fetch("select subject from outbox order by position")
        return [row["subject"].removeprefix("lightrail.deploy.deployment.").removesuffix(".v1") for row in rows]

    async def requested(self) -> list[tuple[str, str]]:
        """What build was asked for, in order: the deployment, and the commit it is compared with."""
        subject = "lightrail.deploy.deployment.requested.v1"
        rows = await self.db.fetch("select payload from outbox where subject = $1 order by position", subject)
        found = [events_pb2.DeploymentRequested.FromString(row["payload"]) for row in rows]
        return [(one.deployment_id, one.base_commit) for one in found]

    async def outcome(self) -> dict[str, Any]:
        """What must be the same whatever failed on the way; ids are left out."""
        deployments = await self.db.fetch("select id, state, trigger from deployments order by id")
        number = {row["id"]: n for n, row in enumerate(deployments)}
        instances = await self.db.fetch("select id, deployment_id, state from instances order by id")
        whose = {row["id"]: number[row["deployment_id"]] for row in instances}
        observed = await self.runtime.observe()
        last = self.others.published[-1] if self.others.published else ("", (), 0)
        return {
            "deployments": [(row["state"], row["trigger"]) for row in deployments],
            "running": sorted(whose[seen.instance_id] for seen in observed if seen.alive),
            "wanted": sorted(whose[row["id"]] for row in instances if row["state"] != "exited"),
            "serving": sorted(whose[endpoint.instance_id] for endpoint in last[1]),
            "went_live": (await self.subjects()).count("went_live"),
        }


async def empty_world(db: Database, faults: Plan | None = None) -> World:
    """An empty world on this database."""
    clock = VirtualClock()
    await db.execute("truncate deployments, releases, instances, routes, log_lines, outbox")
    return World(db, MemoryRuntime(clock), clock, faults)


async def deploy(world: World, digest: str = "sha256:1") -> Deployment:
    """Uploads, builds and settles."""
    made = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    await world.react(world.reactions.build_started(made.id))
    await world.react(world.reactions.build_succeeded(made.id, digest))
    await world.settle()
    return await world.store.get(OWNER, made.id)

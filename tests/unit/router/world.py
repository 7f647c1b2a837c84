"""A router without a network: its use cases on any store, and an edge that accepts at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from libs.kernel.context import platform
from libs.kernel.errors import Conflict, NotFound, Unavailable
from libs.testing.clock import VirtualClock
from services.router.app.commands import Commands
from services.router.app.ports import Facts, Names, Publications, Sample, Traffic, Worlds
from services.router.app.queries import Queries
from services.router.app.reactions import Reactions
from services.router.domain.facts import RouterFact
from services.router.domain.world import Endpoint, Key, Spot, World
from services.router.loops.announce import AnnounceEndpoints
from services.router.loops.edge import WORLD, TellEdges
from services.router.loops.retire import RetireEndpoints

CTX = platform("deploy")


@dataclass
class ObedientEdges:
    """One edge that takes what it is told, unless it is away or refuses."""

    connected: bool = True
    refusal: str = ""
    world: World | None = None
    # Brings the world here, as the loop would.
    tell: Callable[[], Awaitable[object]] | None = None

    @property
    def revision(self) -> int:
        return -1 if self.world is None else self.world.revision

    async def put(self, world: World, *, provisional: bool = False) -> None:
        self.world = world

    def serving(self, key: Key, revision: int) -> bool:
        if not self.connected or self.world is None or self.world.revision < revision:
            return False
        if self.refusal:
            raise Conflict(f"The edge refuses: {self.refusal}")
        if all(app.key != key for app in self.world.apps):
            raise NotFound("It left.")
        return True

    async def until_serving(self, key: Key, revision: int, seconds: float) -> None:
        if self.tell is not None:
            await self.tell()
        if not self.serving(key, revision):
            raise Unavailable("No edge is connected.")


@dataclass
class FixedGauges:
    """Counters that a test sets."""

    active: dict[Spot, int] = field(default_factory=dict)
    away: bool = False

    async def in_flight(self, key: Key) -> Mapping[Spot, int]:
        if self.away:
            raise Unavailable("The edge does not tell its numbers.")
        return self.active

    async def traffic(self) -> Traffic:
        return Traffic("run-1", (Sample(Key("svc_a", "env_a"), 100, 2),))


@dataclass
class KeptWorld:
    """What a file would hold."""

    world: World | None = None

    async def remember(self, world: World) -> bool:
        self.world = world
        return True

    async def recall(self) -> World | None:
        return self.world


@dataclass
class Stores:
    """Where a router keeps things, and what it told."""

    work: Callable[[], AbstractAsyncContextManager[object]]
    names: Names
    publications: Publications
    worlds: Worlds
    facts: Facts
    told: Callable[[], Awaitable[list[RouterFact]]]


@dataclass
class Router:
    """The use cases, wired as main wires them."""

    stores: Stores
    clock: VirtualClock = field(default_factory=VirtualClock)
    edges: ObedientEdges = field(default_factory=ObedientEdges)
    gauges: FixedGauges = field(default_factory=FixedGauges)
    file: KeptWorld = field(default_factory=KeptWorld)
    wakes: int = 0

    def __post_init__(self) -> None:
        stores = self.stores
        self.telling = TellEdges(stores.worlds, self.edges, self.file)
        self.edges.tell = self.tell
        self.commands = Commands(
            work=stores.work,
            names=stores.names,
            publications=stores.publications,
            worlds=stores.worlds,
            facts=stores.facts,
            edges=self.edges,
            clock=self.clock,
            base_domain="localhost",
            wake=self.wake,
        )
        self.queries = Queries(stores.names, stores.publications, self.gauges, self.clock, 8080)
        self.reactions = Reactions(stores.work, stores.worlds, self.wake)
        self.retiring = RetireEndpoints(stores.publications, self.gauges, self.clock, self.wake)
        self.announcing = AnnounceEndpoints(stores.publications, self.edges, self.commands.announce)

    def wake(self) -> None:
        self.wakes += 1

    async def tell(self) -> None:
        await self.telling.step(WORLD)

    async def claim(self, key: Key, service: str = "hello", environment: str = "production") -> str:
        name = await self.commands.claim_name(CTX, key, "wsp_a", service_name=service, environment_name=environment)
        return name.host

    async def publish(self, key: Key, *ports: int, generation: int = 1, deployment: str = "") -> int:
        endpoints = [Endpoint(f"ins_{port}", "127.0.0.1", port) for port in ports]
        return await self.commands.publish_endpoints(CTX, key, endpoints, generation, deployment_id=deployment)

    async def spots(self, key: Key) -> dict[int, bool]:
        """Ports of the app, and whether new requests go there."""
        found = await self.stores.publications.of(key)
        return {one.port: one.active for one in found.endpoints} if found else {}

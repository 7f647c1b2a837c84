"""The whole router: real PostgreSQL, real Envoy, called over gRPC."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest_asyncio

from libs.bus import MemoryBus
from libs.embedded import doors, trial
from libs.embedded.envoy import Edge
from libs.embedded.part import launch
from libs.embedded.ports import free_port
from libs.kernel.context import platform
from libs.protogen.lightrail.router.v1 import router_pb2 as pb
from libs.protogen.lightrail.router.v1.router_pb2_grpc import RouterServiceStub
from libs.rpc import Identity, Peer, Server
from libs.runtime import Host
from libs.runtime.clock import SystemClock
from libs.testing.databases import TakeDatabase
from libs.testing.eventually import eventually
from services.router.main import MODULE
from services.router.store.postgres import MIGRATIONS
from tests.integration.router import apps

DEPLOY = platform("deploy")
EDGE_TOKEN = "shown to the gateway"


async def run(loop: Callable[[], Awaitable[None]]) -> None:
    await loop()


@dataclass
class Stand:
    """A router that can be stopped and started, and an edge that can be killed."""

    room: Path
    identity: Identity
    environ: dict[str, str]
    edge_port: int
    # Sockets, as in a platform that runs its own Envoy.
    admin: str
    ads: str
    gateway: apps.App
    bus: MemoryBus = field(default_factory=MemoryBus)
    clock: SystemClock = field(default_factory=SystemClock)

    @asynccontextmanager
    async def router(self) -> AsyncIterator[None]:
        """Runs the router as the runtime does."""
        host = Host("router", self.environ, self.clock, self.identity, self.bus)
        async with MODULE.open(host) as opened:
            servicers, loops = host.facts(opened)
            server = Server(
                self.environ["LIGHTRAIL_ROUTER_ADDRESS"],
                [*opened.servicers, *servicers],
                identity=self.identity,
                exchange=host.exchange,
                clock=self.clock,
            )
            await server.start()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run(loop)) for loop in (*opened.loops, *loops)]
                try:
                    yield
                finally:
                    for task in tasks:
                        task.cancel()
                    await server.stop(0.1)
        await host.close()

    @asynccontextmanager
    async def edge(self, name: str = "edge-test") -> AsyncIterator[int]:
        """Runs an Envoy; yields its pid."""
        edge = Edge(
            room=self.room / name,
            node=name,
            ads_address=self.ads,
            admin_address=self.admin,
            edge_port=self.edge_port,
            log=self.room / f"{name}.log",
            die_with_starter=True,
        )
        edge.prepare()
        async with trial.running(edge.spec(), launch) as process:
            yield process.pid

    @asynccontextmanager
    async def calls(self) -> AsyncIterator[Calls]:
        """A connection to the router."""
        peer = Peer(self.environ["LIGHTRAIL_ROUTER_ADDRESS"], self.identity, self.clock)
        try:
            yield Calls(peer)
        finally:
            await peer.close()

    async def get(self, host: str, path: str = "/", **headers: str) -> apps.Answer:
        return await apps.get(self.edge_port, f"{host}:{self.edge_port}", path, headers=headers)

    async def serving(self) -> None:
        """Returns once the edge answers anything at all."""

        async def answered() -> None:
            try:
                answer = await self.get("nobody.localhost")
            except (OSError, asyncio.IncompleteReadError) as error:
                raise AssertionError(f"the edge does not answer: {error!r}") from error
            assert answer.status == 200

        await eventually(answered)


@dataclass
class Calls:
    """What deploy asks of the router."""

    peer: Peer

    def __post_init__(self) -> None:
        self.stub = RouterServiceStub(self.peer.channel)

    async def claim(self, service: str, environment: str = "env_a", name: str = "") -> str:
        request = pb.ClaimNameRequest(
            service_id=service,
            environment_id=environment,
            workspace_id="wsp_a",
            service_name=name or service.removeprefix("svc_"),
            environment_name="production",
        )
        return (await self.peer.call(self.stub.ClaimName, request, DEPLOY)).name.host

    async def publish(self, service: str, ports: Sequence[int], generation: int = 1, *, within: float = 10.0) -> int:
        request = pb.PublishEndpointsRequest(
            service_id=service,
            environment_id="env_a",
            generation=generation,
            endpoints=[pb.Endpoint(instance_id=f"ins_{port}", address="127.0.0.1", port=port) for port in ports],
            deployment_id="dep_a",
        )
        return (await self.peer.call(self.stub.PublishEndpoints, request, DEPLOY, timeout=within)).version

    async def generation(self, service: str) -> int:
        request = pb.GetPublicationRequest(service_id=service, environment_id="env_a")
        return (await self.peer.call(self.stub.GetPublication, request, DEPLOY)).generation

    async def activity(self, service: str) -> pb.GetActivityResponse:
        request = pb.GetActivityRequest(service_id=service, environment_id="env_a")
        return await self.peer.call(self.stub.GetActivity, request, DEPLOY)

    async def traffic(self) -> pb.SampleTrafficResponse:
        return await self.peer.call(self.stub.SampleTraffic, pb.SampleTrafficRequest(), DEPLOY)

    async def names(self, *services: str) -> list[pb.Name]:
        request = pb.ListNamesRequest(service_ids=services)
        return list((await self.peer.call(self.stub.ListNames, request, DEPLOY)).names)


@pytest_asyncio.fixture
async def stand(take_db: TakeDatabase, open_folder: Path, identity: Identity) -> AsyncIterator[Stand]:
    """Everything but router and edge, which each test starts."""
    name = f"router_{secrets.token_hex(6)}"
    dsn = (await take_db("router", MIGRATIONS)).reveal()
    room = open_folder / name
    room.mkdir(mode=0o711)
    closed = doors.choose(room / "doors", room / "doors.path", {})
    doors.make_room(closed)
    ads, edge, numbers = f"unix:{closed / doors.ADS}", free_port(), f"unix:{closed / doors.ADMIN}"
    (room / "edge.token").write_text(EDGE_TOKEN)
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(apps.running("gateway"))
        yield Stand(
            room=room,
            identity=identity,
            environ={
                "LIGHTRAIL_HOME": str(room),
                "LIGHTRAIL_ROUTER_ADDRESS": f"127.0.0.1:{free_port()}",
                "LIGHTRAIL_PROJECT_ADDRESS": f"127.0.0.1:{free_port()}",
                "LIGHTRAIL_ROUTER_DATABASE_URL": dsn,
                "LIGHTRAIL_ADS_ADDRESS": ads,
                "LIGHTRAIL_EDGE_PORT": str(edge),
                "LIGHTRAIL_EDGE_TOKEN_FILE": str(room / "edge.token"),
                "LIGHTRAIL_ENVOY_ADMIN_ADDRESS": numbers,
                "LIGHTRAIL_GATEWAY_HTTP_ADDRESS": f"127.0.0.1:{gateway.port}",
            },
            edge_port=edge,
            admin=numbers,
            ads=ads,
            gateway=gateway,
        )


@pytest_asyncio.fixture
async def calls(stand: Stand) -> AsyncIterator[Calls]:
    """A router and an edge that serve, and a connection to the router."""
    async with stand.router(), stand.edge(), stand.calls() as connected:
        await stand.serving()
        yield connected

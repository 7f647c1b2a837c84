"""The whole module between real gRPC neighbours: its loops look at their counters, its door answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio

from libs.bus import MemoryBus
from libs.config import load
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.errors import Denied, Failure, Invalid, NotFound
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.protogen.lightrail.metering.v1 import metering_pb2 as pb
from libs.protogen.lightrail.metering.v1 import metering_pb2_grpc
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc
from libs.protogen.lightrail.router.v1 import router_pb2, router_pb2_grpc
from libs.rpc import Identity, Server, current
from libs.runtime import Host
from libs.runtime.clock import SystemClock
from libs.runtime.opened import Servicer
from libs.testing.databases import TakeDatabase
from libs.testing.eventually import eventually
from services.metering.config import Settings
from services.metering.main import MIGRATIONS, MODULE

pytestmark = pytest.mark.wheels
NEIGHBOURS = ("deploy", "router", "project")
MEMBER = Ctx(Actor("user", "usr_1", {"wsp_1": Role.VIEWER}))
STRANGER = Ctx(Actor("user", "usr_2", {"wsp_2": Role.OWNER}))


class Deploy(deploy_pb2_grpc.DeploymentServiceServicer):
    """Says what its one instance used."""

    def __init__(self) -> None:
        self.cpu = 0

    async def SampleInstances(self, request: object, context: object) -> deploy_pb2.SampleInstancesResponse:
        sample = deploy_pb2.InstanceSample(
            instance_id="ins_1",
            run_id="run_1",
            service_id="svc_1",
            environment_id="env_1",
            project_id="prj_1",
            workspace_id="wsp_1",
            cpu_microseconds=self.cpu,
            memory_bytes=1_000_000,
        )
        return deploy_pb2.SampleInstancesResponse(samples=[sample] if self.cpu else [])


class Router(router_pb2_grpc.RouterServiceServicer):
    """Says what left through its edge."""

    def __init__(self) -> None:
        self.sent = 0

    async def SampleTraffic(self, request: object, context: object) -> router_pb2.SampleTrafficResponse:
        sample = router_pb2.TrafficSample(
            service_id="svc_1", environment_id="env_1", egress_bytes=self.sent, edge_epoch="e1"
        )
        return router_pb2.SampleTrafficResponse(samples=[sample])


class Project(project_pb2_grpc.ProjectServiceServicer):
    """Knows one service, which belongs to wsp_1."""

    async def GetService(
        self, request: project_pb2.GetServiceRequest, context: object
    ) -> project_pb2.GetServiceResponse:
        current().allow("wsp_1", "prj_1", what=f"Service {request.service_id}")
        if request.service_id != "svc_1":
            raise NotFound(f"Service {request.service_id} does not exist, or is not yours to see.")
        service = project_pb2.Service(id="svc_1", environment_id="env_1", project_id="prj_1", workspace_id="wsp_1")
        return project_pb2.GetServiceResponse(service=service)

    async def GetProject(
        self, request: project_pb2.GetProjectRequest, context: object
    ) -> project_pb2.GetProjectResponse:
        current().allow("wsp_1", request.project_id, what=f"Project {request.project_id}")
        project = project_pb2.Project(id=request.project_id, workspace_id="wsp_1")
        return project_pb2.GetProjectResponse(project=project)


@dataclass
class Neighbourhood:
    """A running metering, and its neighbours."""

    host: Host
    deploy: Deploy = field(default_factory=Deploy)
    router: Router = field(default_factory=Router)

    async def usage(self, ctx: Ctx = MEMBER, **asked: Any) -> pb.QueryUsageResponse:
        peer = self.host.peer("metering")
        stub = metering_pb2_grpc.MeteringServiceStub(peer.channel)
        return await peer.call(stub.QueryUsage, pb.QueryUsageRequest(**asked), ctx)

    @asynccontextmanager
    async def serving(self, name: str, *servicers: Servicer) -> AsyncIterator[None]:
        host = self.host
        address = host.environ.get(f"LIGHTRAIL_{name.upper()}_ADDRESS", "127.0.0.1:0")
        server = Server(address, servicers, identity=host.identity, exchange=host.exchange, clock=host.clock)
        host.environ[f"LIGHTRAIL_{name.upper()}_ADDRESS"] = f"127.0.0.1:{server.port}"  # type: ignore[index] # a dict here
        await server.start()
        yield
        await server.stop(0)


@pytest_asyncio.fixture
async def neighbourhood(
    take_db: TakeDatabase, identity: Identity, system_clock: SystemClock
) -> AsyncIterator[Neighbourhood]:
    dsn = (await take_db("metering", MIGRATIONS)).reveal()
    environ = {"LIGHTRAIL_METERING_DATABASE_URL": dsn, "LIGHTRAIL_METERING_PERIOD_SECONDS": "0.05"}
    around = Neighbourhood(Host("metering", environ, system_clock, identity, MemoryBus()))
    async with AsyncExitStack() as stack:
        for neighbour, add, servicer in (
            ("deploy", deploy_pb2_grpc.add_DeploymentServiceServicer_to_server, around.deploy),
            ("router", router_pb2_grpc.add_RouterServiceServicer_to_server, around.router),
            ("project", project_pb2_grpc.add_ProjectServiceServicer_to_server, Project()),  # type: ignore[abstract] # only what metering asks
        ):
            await stack.enter_async_context(around.serving(neighbour, (add, servicer)))
        opened = await stack.enter_async_context(MODULE.open(around.host))
        await stack.enter_async_context(around.serving("metering", *opened.servicers))
        async with asyncio.TaskGroup() as group:
            loops = [group.create_task(_forever(loop)) for loop in opened.loops]
            yield around
            for loop in loops:
                loop.cancel()
        await around.host.close()


async def _forever(loop: Any) -> None:
    await loop()


async def test_what_neighbours_count_appears_on_the_bill(neighbourhood: Neighbourhood) -> None:
    neighbourhood.deploy.cpu, neighbourhood.router.sent = 120_000_000, 2_000_000_000

    async def billed() -> pb.Usage:
        [line] = (await neighbourhood.usage()).services or [pb.Usage()]
        assert (line.cpu_microseconds, line.egress_bytes) == (120_000_000, 2_000_000_000)
        assert line.memory_byte_seconds > 0
        return line

    line = await eventually(billed)
    assert (line.service_id, line.environment_id, line.project_id) == ("svc_1", "env_1", "prj_1")
    answer = await neighbourhood.usage(workspace_id="wsp_1", project_id="prj_1", service_id="svc_1")
    assert answer.total_micro_usd == sum(line.cost_micro_usd for line in answer.services)
    assert answer.total_micro_usd >= 100_926
    assert answer.start.ToDatetime(UTC).day == 1
    assert answer.end.ToDatetime(UTC) > answer.start.ToDatetime(UTC)


async def test_the_door_refuses_with_the_right_kind(neighbourhood: Neighbourhood) -> None:
    cases: list[tuple[type[Failure], Ctx, dict[str, Any]]] = [
        (Denied, Ctx(Actor("anonymous")), {}),
        (Denied, Ctx(Actor("user", "usr_3")), {}),
        (NotFound, STRANGER, {"workspace_id": "wsp_1"}),
        (NotFound, STRANGER, {"service_id": "svc_1"}),
        (NotFound, STRANGER, {"project_id": "prj_1"}),
        (NotFound, MEMBER, {"service_id": "svc_2"}),
        (Invalid, MEMBER, {"start": {"seconds": 10**12}}),
        (Invalid, MEMBER, {"end": {"seconds": 1}}),
        (Invalid, MEMBER, {"start": datetime(1999, 1, 1, tzinfo=UTC)}),
    ]
    for kind, ctx, asked in cases:
        with pytest.raises(kind):
            await neighbourhood.usage(ctx, **asked)


@pytest.mark.parametrize("value", ["0", "-1", "soon", "nan", "inf"])
def test_impossible_settings_are_named(value: str) -> None:
    with pytest.raises(Invalid, match=r"LIGHTRAIL_METERING_PERIOD_SECONDS"):
        load(Settings, {"LIGHTRAIL_METERING_PERIOD_SECONDS": value})

"""The project service as others meet it: over gRPC, behind the real interceptor, on real PostgreSQL."""

from __future__ import annotations

import base64
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from libs.bus import Bus, MemoryBus
from libs.db import Database
from libs.kernel.clock import Clock
from libs.kernel.context import Actor, Ctx, Role, platform
from libs.kernel.errors import Denied, Failure, Unavailable
from libs.kernel.ids import new_id
from libs.protogen.lightrail.project.v1 import project_pb2 as pb
from libs.protogen.lightrail.project.v1 import project_pb2_grpc
from libs.protogen.lightrail.router.v1 import router_pb2, router_pb2_grpc
from libs.rpc import Identity, Peer, Server
from libs.runtime import Host
from libs.runtime.clock import SystemClock
from libs.testing.plugin import OpenDatabase
from services.project.main import MIGRATIONS, MODULE

DEPLOY = platform("deploy")


def member(*workspaces: str, role: Role = Role.OWNER, project: str = "", environment: str = "") -> Ctx:
    roles = dict.fromkeys(workspaces, role)
    return Ctx(Actor(kind="user", id="usr_test", roles=roles, project_id=project, environment_id=environment))


def settings_of(**given: Any) -> pb.Settings:
    return pb.Settings(**given)


async def no_credentials(_credential: str, method: str) -> Actor:
    raise Denied(f"{method} takes signed identities only here.", unauthenticated=True)


class FakeRouter(router_pb2_grpc.RouterServiceServicer):
    """Gives names, counts how often it was asked, and can be away."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[tuple[str, str]] = []

    async def ClaimName(
        self,
        request: router_pb2.ClaimNameRequest,
        context: grpc.aio.ServicerContext[router_pb2.ClaimNameRequest, router_pb2.ClaimNameResponse],
    ) -> router_pb2.ClaimNameResponse:
        self.asked.append((request.service_id, request.environment_id))
        if self.away:
            raise Unavailable("The router is away.")
        host = f"{request.service_name}-{request.environment_name}.localhost"
        name = router_pb2.Name(service_id=request.service_id, environment_id=request.environment_id, host=host)
        return router_pb2.ClaimNameResponse(name=name)


class OnDatabase(Host):
    """A host whose database is the test's own."""

    def __init__(self, db: Database, environ: Mapping[str, str], clock: Clock, identity: Identity, bus: Bus) -> None:
        super().__init__("project", environ, clock, identity, bus)
        self.db = db

    @asynccontextmanager
    async def database(self, migrations: Path, *, max_size: int = 4) -> AsyncIterator[Database]:
        assert (migrations, max_size) == (MIGRATIONS, 4)
        self._database = self.db
        yield self.db


@dataclass
class Api:
    """A running project service and a connection to it."""

    peer: Peer
    router: FakeRouter
    db: Database
    host: Host
    workspace: str
    ctx: Ctx
    stub: Any = field(init=False)

    def __post_init__(self) -> None:
        self.stub = project_pb2_grpc.ProjectServiceStub(self.peer.channel)

    async def call(self, method: str, ctx: Ctx | None = None, **fields: object) -> Any:
        request = getattr(pb, f"{method}Request")(**fields)
        return await self.peer.call(getattr(self.stub, method), request, ctx or self.ctx)

    async def refused(self, kind: type[Failure], method: str, ctx: Ctx | None = None, **fields: object) -> Failure:
        with pytest.raises(kind) as caught:
            await self.call(method, ctx, **fields)
        return caught.value

    async def project(self, name: str = "shop", ctx: Ctx | None = None) -> pb.Project:
        made: pb.Project = (await self.call("CreateProject", ctx, name=name)).project
        return made

    async def service(self, project: pb.Project, name: str = "web", **settings: object) -> pb.Service:
        made: pb.Service = (
            await self.call("CreateService", project_id=project.id, name=name, settings=settings_of(**settings))
        ).service
        return made

    async def set(self, service: pb.Service, **values: str) -> int:
        return int((await self.call("SetVariables", service_id=service.id, values=values)).version)

    async def share(self, project: pb.Project, **values: str) -> int:
        answer = await self.call("SetVariables", environment_id=project.environments[0].id, values=values)
        return int(answer.version)

    async def written(self, service: pb.Service) -> dict[str, str]:
        """What a person set, as they wrote it."""
        listed = await self.call("ListVariables", service_id=service.id)
        return {each.name: each.value for each in listed.variables if not each.provided}

    async def render(self, service: pb.Service, **fields: object) -> pb.RenderVariablesResponse:
        answer: pb.RenderVariablesResponse = await self.call("RenderVariables", DEPLOY, service_id=service.id, **fields)
        return answer

    async def told(self) -> list[str]:
        """Subjects of all facts so far, in order, without what they have in common."""
        rows = await self.db.fetch("select subject from outbox order by position")
        return [row["subject"].removeprefix("lightrail.project.").removesuffix(".v1") for row in rows]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "secrets.key"
    path.touch(mode=0o600)
    path.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    return path


@pytest_asyncio.fixture
async def db(open_db: OpenDatabase) -> Database:
    return await open_db("project", MIGRATIONS)


@pytest_asyncio.fixture
async def api(db: Database, key_file: Path, identity: Identity, system_clock: SystemClock) -> AsyncIterator[Api]:
    router = FakeRouter()  # type: ignore[abstract]  # nobody asks it for more than names
    environ = {"LIGHTRAIL_SECRETS_KEY_FILE": str(key_file)}
    host = OnDatabase(db, environ, system_clock, identity, MemoryBus())
    routing = Server(
        "127.0.0.1:0",
        [(router_pb2_grpc.add_RouterServiceServicer_to_server, router)],
        identity=identity,
        exchange=no_credentials,
        clock=system_clock,
    )
    environ["LIGHTRAIL_ROUTER_ADDRESS"] = f"127.0.0.1:{routing.port}"
    await routing.start()
    async with MODULE.open(host) as opened:
        server = Server("127.0.0.1:0", opened.servicers, identity=identity, exchange=no_credentials, clock=system_clock)
        environ["LIGHTRAIL_PROJECT_ADDRESS"] = f"127.0.0.1:{server.port}"
        await server.start()
        workspace = new_id("workspace", system_clock)
        yield Api(host.peer("project"), router, db, host, workspace, member(workspace))
        await server.stop(0)
    await routing.stop(0)
    await host.close()

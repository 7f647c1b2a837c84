"""The whole module as other services meet it: over gRPC, behind the real interceptor, on PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio

from libs.bus import MemoryBus
from libs.kernel.context import Actor, Ctx, Role, platform
from libs.kernel.errors import Conflict, Denied, Exhausted, Failure, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.protogen.lightrail.auth.v1 import auth_pb2 as pb
from libs.protogen.lightrail.auth.v1 import auth_pb2_grpc
from libs.protogen.lightrail.common.v1 import authorization_pb2, facts_pb2, facts_pb2_grpc
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc
from libs.rpc import Identity, Peer, Server, current
from libs.runtime import Host
from libs.runtime.clock import SystemClock
from libs.testing.databases import TakeDatabase
from services.auth.main import MIGRATIONS, MODULE

pytestmark = pytest.mark.wheels
SETUP_TOKEN = "the-one-time-token-of-this-test"
PASSWORD = "correct horse battery"
NOBODY = Ctx(Actor(kind="anonymous"))
GATEWAY = platform("gateway")
VIEWER, ADMIN = authorization_pb2.ROLE_VIEWER, authorization_pb2.ROLE_ADMIN


class FakeProjects(project_pb2_grpc.ProjectServiceServicer):
    """Knows projects by their id, and shows them as the real one does."""

    def __init__(self) -> None:
        self.known: dict[str, project_pb2.Project] = {}

    async def GetProject(self, request: Any, context: Any) -> project_pb2.GetProjectResponse:
        found = self.known.get(request.project_id, project_pb2.Project())
        current().allow(found.workspace_id, found.id, what=f"Project {request.project_id}")
        return project_pb2.GetProjectResponse(project=found)


@dataclass
class Auth:
    """A running auth and a connection to it."""

    peer: Peer
    identity: Identity
    clock: SystemClock
    address: str
    projects: FakeProjects
    stub: Any = field(init=False)

    def __post_init__(self) -> None:
        self.stub = auth_pb2_grpc.AuthServiceStub(self.peer.channel)

    async def call(self, method: str, request: object, ctx: Ctx = NOBODY) -> Any:
        return await self.peer.call(getattr(self.stub, method), request, ctx)

    async def refused(self, kind: type[Failure], method: str, request: object, ctx: Ctx = NOBODY) -> Failure:
        with pytest.raises(kind) as caught:
            await self.call(method, request, ctx)
        return caught.value

    async def holding(self, credential: str, method: str = "") -> Ctx:
        request = pb.AuthorizeRequest(credential=credential, method=method)
        answer = await self.call("Authorize", request, GATEWAY)
        return Ctx(self.identity.verify(answer.identity, now=self.clock.now()))

    async def operator(self) -> pb.CompleteSetupResponse:
        request = pb.CompleteSetupRequest(
            setup_token=SETUP_TOKEN, email="root@localhost", password=PASSWORD, name="Root"
        )
        answer: pb.CompleteSetupResponse = await self.call("CompleteSetup", request)
        return answer


@pytest_asyncio.fixture
async def auth(take_db: TakeDatabase, tmp_path: Path, system_clock: SystemClock) -> AsyncIterator[Auth]:
    dsn = (await take_db("auth", MIGRATIONS)).reveal()
    token_file = tmp_path / "setup-token"
    token_file.touch(mode=0o600)
    token_file.write_text(SETUP_TOKEN)
    identity = Identity.generate(tmp_path / "identity.pem")
    environ = {"LIGHTRAIL_AUTH_DATABASE_URL": dsn, "LIGHTRAIL_SETUP_TOKEN_FILE": str(token_file)}
    host = Host("auth", environ, system_clock, identity, MemoryBus())
    projects = FakeProjects()  # type: ignore[abstract]  # nobody asks it for more than a project
    owning = Server(
        "127.0.0.1:0",
        [(project_pb2_grpc.add_ProjectServiceServicer_to_server, projects)],
        identity=identity,
        exchange=host.exchange,
        clock=system_clock,
    )
    environ["LIGHTRAIL_PROJECT_ADDRESS"] = f"127.0.0.1:{owning.port}"
    await owning.start()
    async with MODULE.open(host) as opened:
        facts = host.facts(opened)[0]
        server = Server(
            "127.0.0.1:0",
            [*opened.servicers, *facts],
            identity=identity,
            exchange=host.exchange,
            clock=system_clock,
        )
        environ["LIGHTRAIL_AUTH_ADDRESS"] = f"127.0.0.1:{server.port}"
        await server.start()
        peer = host.peer("auth")
        yield Auth(peer, identity, system_clock, environ["LIGHTRAIL_AUTH_ADDRESS"], projects)
        await server.stop(0)
        await owning.stop(0)
        await host.close()


async def test_from_set_up_to_a_token_and_back(auth: Auth) -> None:
    assert not (await auth.call("GetSetupStatus", pb.GetSetupStatusRequest())).claimed
    made = await auth.operator()
    assert (await auth.call("GetSetupStatus", pb.GetSetupStatusRequest())).claimed
    assert made.user.operator
    assert made.workspace.role == authorization_pb2.ROLE_OWNER
    login = pb.LoginRequest(email="ROOT@localhost", password=PASSWORD, remote_address="10.0.0.1")
    signed_in = await auth.call("Login", login, GATEWAY)
    assert signed_in.user == made.user
    assert signed_in.expires_at.ToDatetime() > signed_in.user.created_at.ToDatetime()
    root = await auth.holding(signed_in.session_token)
    me = await auth.call("GetMe", pb.GetMeRequest(), root)
    assert me.user == made.user
    assert list(me.workspaces) == [made.workspace]
    assert not me.HasField("token")
    wanted = pb.CreateTokenRequest(name="ci", workspace_id=made.workspace.id, role=VIEWER, lifetime_seconds=3_600)
    created = await auth.call("CreateToken", wanted, root)
    assert created.token.prefix == created.secret[:10]
    assert list((await auth.call("ListTokens", pb.ListTokensRequest(), root)).tokens) == [created.token]
    bot = await auth.holding(created.secret)
    assert bot.actor.roles == {made.workspace.id: Role.VIEWER}
    assert (await auth.call("GetMe", pb.GetMeRequest(), bot)).token.id == created.token.id
    await auth.call("RevokeToken", pb.RevokeTokenRequest(token_id=created.token.id), root)
    await auth.call("Logout", pb.LogoutRequest(session_token=signed_in.session_token))
    for credential in (created.secret, signed_in.session_token):
        request = pb.AuthorizeRequest(credential=credential)
        denied = await auth.refused(Denied, "Authorize", request, GATEWAY)
        assert isinstance(denied, Denied)
        assert denied.unauthenticated


async def test_failures_cross_with_field_and_hint(auth: Auth) -> None:
    weak = pb.CompleteSetupRequest(setup_token=SETUP_TOKEN, email="root@localhost", password="short")
    failure = await auth.refused(Invalid, "CompleteSetup", weak)
    assert failure.field == "password"
    assert failure.hint
    await auth.operator()
    assert (await auth.refused(Conflict, "CompleteSetup", weak)).hint
    wrong = pb.LoginRequest(email="root@localhost", password="not the password", remote_address="10.0.0.1")
    for _ in range(10):
        await auth.refused(Denied, "Login", wrong, GATEWAY)
    assert "Wait" in str(await auth.refused(Exhausted, "Login", wrong, GATEWAY))


async def test_people_and_their_workspaces_stay_apart(auth: Auth) -> None:
    made = await auth.operator()
    root = await auth.holding(made.session_token)
    ada_wanted = pb.CreateUserRequest(email="ada@example.com", password=PASSWORD, name="Ada")
    ada_made = await auth.call("CreateUser", ada_wanted, root)
    await auth.refused(Conflict, "CreateUser", ada_wanted, root)
    session = await auth.call("Login", pb.LoginRequest(email="ada@example.com", password=PASSWORD), GATEWAY)
    ada = await auth.holding(session.session_token)
    await auth.refused(Denied, "CreateUser", ada_wanted, ada)
    unknown = new_id("workspace", auth.clock)
    for workspace in (made.workspace.id, unknown):
        change = pb.SetMemberRequest(workspace_id=workspace, email="ada@example.com", role=ADMIN)
        await auth.refused(NotFound, "SetMember", change, ada)
        await auth.refused(NotFound, "CreateToken", pb.CreateTokenRequest(name="x", workspace_id=workspace), ada)
    others = await auth.call("CreateToken", pb.CreateTokenRequest(name="x"), root)
    await auth.refused(NotFound, "RevokeToken", pb.RevokeTokenRequest(token_id=others.token.id), ada)
    change = pb.SetMemberRequest(workspace_id=ada_made.workspace.id, email="root@localhost", role=ADMIN)
    await auth.call("SetMember", change, ada)
    team = await auth.call("CreateWorkspace", pb.CreateWorkspaceRequest(name="Team"), ada)
    root = await auth.holding(made.session_token)
    listed = await auth.call("ListWorkspaces", pb.ListWorkspacesRequest(), root)
    assert {each.id: each.role for each in listed.workspaces} == {
        made.workspace.id: authorization_pb2.ROLE_OWNER,
        ada_made.workspace.id: ADMIN,
    }
    assert team.workspace.role == authorization_pb2.ROLE_OWNER
    strange = pb.SetMemberRequest(workspace_id=team.workspace.id, email="root@localhost")
    strange.role = 17  # type: ignore[assignment] # what a newer client may send
    again = await auth.holding(session.session_token)
    assert (await auth.refused(Invalid, "SetMember", strange, again)).field == "role"


@pytest.mark.parametrize(
    ("method", "request_", "ctx"),
    [
        ("Authorize", pb.AuthorizeRequest(credential="x"), NOBODY),
        ("Authorize", pb.AuthorizeRequest(credential="x"), Ctx(Actor(kind="user", id="usr_1", operator=True))),
        ("CreateUser", pb.CreateUserRequest(), NOBODY),
        ("CreateUser", pb.CreateUserRequest(), Ctx(Actor(kind="user", id="usr_1", roles={"wsp_1": Role.OWNER}))),
        ("GetMe", pb.GetMeRequest(), NOBODY),
        ("ListTokens", pb.ListTokensRequest(), NOBODY),
        ("CreateToken", pb.CreateTokenRequest(), NOBODY),
        ("RevokeToken", pb.RevokeTokenRequest(), NOBODY),
        ("ListWorkspaces", pb.ListWorkspacesRequest(), NOBODY),
        ("CreateWorkspace", pb.CreateWorkspaceRequest(), NOBODY),
        ("SetMember", pb.SetMemberRequest(), NOBODY),
        ("SetMember", pb.SetMemberRequest(), Ctx(Actor(kind="user", id="usr_1", roles={"wsp_1": Role.DEVELOPER}))),
        ("GetMe", pb.GetMeRequest(), Ctx(Actor(kind="user", id="usr_gone"))),
        ("GetMe", pb.GetMeRequest(), GATEWAY),
    ],
)
async def test_closed_doors_stay_closed(auth: Auth, method: str, request_: object, ctx: Ctx) -> None:
    await auth.refused(Denied, method, request_, ctx)


async def test_an_api_token_works_straight_on_grpc(auth: Auth) -> None:
    made = await auth.operator()
    root = await auth.holding(made.session_token)
    created = await auth.call("CreateToken", pb.CreateTokenRequest(name="ci"), root)

    async def get_me(bearer: str) -> pb.GetMeResponse:
        metadata = (("authorization", bearer),)
        answer: pb.GetMeResponse = await auth.stub.GetMe(pb.GetMeRequest(), metadata=metadata, timeout=10)
        return answer

    assert (await get_me(f"Bearer {created.secret}")).token.id == created.token.id
    assert (await get_me(f"bearer {made.session_token}")).user.email == "root@localhost"
    await auth.call("RevokeToken", pb.RevokeTokenRequest(token_id=created.token.id), root)
    sentences = set()
    for bad in (created.secret, "lr_" + "A" * 43, "lr_nonsense", "nonsense", "a.b.c"):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await get_me(f"Bearer {bad}")
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        sentences.add(caught.value.details())
    assert len(sentences) >= 4


async def test_a_token_is_bound_to_a_project_and_environment_of_its_own_workspace_only(auth: Auth) -> None:
    made = await auth.operator()
    root = await auth.holding(made.session_token)
    other = (await auth.call("CreateWorkspace", pb.CreateWorkspaceRequest(name="other"), root)).workspace
    # Roles are in the identity: a new one knows the new workspace.
    root = await auth.holding(made.session_token)
    ids = {kind: [new_id(kind, auth.clock) for _ in range(3)] for kind in ("project", "environment")}
    mine, elsewhere, strange = ids["project"]
    for project, workspace in ((mine, made.workspace.id), (elsewhere, other.id), (strange, "wsp_of_someone")):
        auth.projects.known[project] = project_pb2.Project(id=project, workspace_id=workspace)
    environment = ids["environment"][0]
    auth.projects.known[mine].environments.add(id=environment)
    bound: dict[str, Any] = {"name": "ci", "workspace_id": made.workspace.id}
    refusals: list[tuple[str, dict[str, Any]]] = [
        ("project_id", {"project_id": strange}),
        ("project_id", {"project_id": elsewhere}),
        ("project_id", {"project_id": strange, "environment_id": environment}),
        ("environment_id", {"project_id": mine, "environment_id": ids["environment"][1]}),
    ]
    for named, wrong in refusals:
        refused = await auth.refused(NotFound, "CreateToken", pb.CreateTokenRequest(**bound, **wrong), root)
        assert wrong[named] in str(refused)
    assert not (await auth.call("ListTokens", pb.ListTokensRequest(), root)).tokens
    right = pb.CreateTokenRequest(**bound, project_id=mine, environment_id=environment)
    assert (await auth.call("CreateToken", right, root)).token.environment_id == environment


async def test_its_facts_can_be_read_by_services_and_nobody_else(auth: Auth) -> None:
    made = await auth.operator()
    root = await auth.holding(made.session_token)
    stub = facts_pb2_grpc.FactsServiceStub(auth.peer.channel)
    read: Callable[..., Awaitable[Any]] = stub.ReadFacts
    await auth.peer.call(read, facts_pb2.ReadFactsRequest(), GATEWAY)
    with pytest.raises(Denied):
        await auth.peer.call(read, facts_pb2.ReadFactsRequest(), root)

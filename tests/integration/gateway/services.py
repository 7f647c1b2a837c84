"""The other services as the gateway meets them: real gRPC servers with the simplest true behaviour behind them."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.kernel.clock import Clock
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.errors import Conflict, Denied, Exhausted, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.kernel.units import MIB
from libs.protogen.lightrail.auth.v1 import auth_pb2, auth_pb2_grpc
from libs.protogen.lightrail.build.v1 import build_pb2, build_pb2_grpc
from libs.protogen.lightrail.common.v1 import authorization_pb2, facts_pb2, facts_pb2_grpc
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.protogen.lightrail.metering.v1 import metering_pb2, metering_pb2_grpc
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc
from libs.rpc import Identity, Server, current
from libs.rpc.authorization import permits, rule

EMAIL, PASSWORD, SETUP_TOKEN = "owner@example.test", "correct horse", "one-time"
STATES = deploy_pb2.DeploymentState
LARGEST_UPLOAD = 8 * MIB
LIVE, FAILED = STATES.DEPLOYMENT_STATE_ACTIVE, STATES.DEPLOYMENT_STATE_FAILED


@dataclass
class World:
    """What the other services hold. Tests read and change it directly."""

    clock: Clock
    identity: Identity
    claimed: bool = False
    actors: dict[str, Actor] = field(default_factory=dict)
    emails: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, auth_pb2.Token] = field(default_factory=dict)
    workspaces: dict[str, auth_pb2.Workspace] = field(default_factory=dict)
    projects: dict[str, project_pb2.Project] = field(default_factory=dict)
    services: dict[str, project_pb2.Service] = field(default_factory=dict)
    variables: dict[tuple[str, str], dict[str, project_pb2.Variable]] = field(default_factory=dict)
    snapshots: dict[str, bytes] = field(default_factory=dict)
    deployments: dict[str, deploy_pb2.Deployment] = field(default_factory=dict)
    build_lines: dict[str, list[str]] = field(default_factory=dict)
    building: set[str] = field(default_factory=set)
    log_lines: list[deploy_pb2.LogLine] = field(default_factory=list)
    facts: list[facts_pb2.Fact] = field(default_factory=list)
    letters: dict[str, facts_pb2.DeadLetter] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    # Full names of the RPCs that were called, in order, with who called.
    calls: list[tuple[str, Ctx]] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def now(self) -> datetime:
        return self.clock.now()

    def sign_up(self, email: str, *, operator: bool = False) -> str:
        """An account with a workspace of its own; gives its session token."""
        user, workspace = new_id("user", self.clock), auth_pb2.Workspace(id=new_id("workspace", self.clock), name=email)
        workspace.role = authorization_pb2.ROLE_OWNER
        workspace.created_at.FromDatetime(self.now())
        self.workspaces[workspace.id] = workspace
        session = f"ls_{hashlib.sha256(email.encode()).hexdigest()}"
        self.actors[session] = Actor(kind="user", id=user, roles={workspace.id: Role.OWNER}, operator=operator)
        self.emails[user] = email
        return session

    def user(self, actor: Actor) -> auth_pb2.User:
        made = auth_pb2.User(id=actor.id, email=self.emails[actor.id], name="N", operator=actor.operator)
        made.created_at.FromDatetime(self.now())
        return made

    async def moves(self, deployment_id: str, state: int, reason: str = "") -> None:
        """Puts a deployment into a state."""
        deployment = self.deployments[deployment_id]
        deployment.state = deploy_pb2.DeploymentState.ValueType(state)
        deployment.reason = reason
        deployment.updated_at.FromDatetime(self.now())
        if state == LIVE:
            deployment.went_live_at.FromDatetime(self.now())
        await self.tell()

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()


def seen(world: World, method: str) -> Ctx:
    """Notes that an RPC was called, and gives the caller."""
    ctx = current()
    world.calls.append((method, ctx))
    return ctx


class Auth(auth_pb2_grpc.AuthServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def GetSetupStatus(self, request: Any, context: Any) -> Any:
        seen(self.world, "GetSetupStatus")
        return auth_pb2.GetSetupStatusResponse(claimed=self.world.claimed)

    async def CompleteSetup(self, request: Any, context: Any) -> Any:
        seen(self.world, "CompleteSetup")
        if self.world.claimed:
            raise Conflict("This platform is set up already.")
        if request.setup_token != SETUP_TOKEN:
            raise Denied("This is not the set-up token.")
        self.world.claimed = True
        session = self.world.sign_up(request.email, operator=True)
        actor = self.world.actors[session]
        workspace = self.world.workspaces[next(iter(actor.roles))]
        return auth_pb2.CompleteSetupResponse(session_token=session, user=self.world.user(actor), workspace=workspace)

    async def Login(self, request: Any, context: Any) -> Any:
        seen(self.world, "Login")
        for session, actor in self.world.actors.items():
            known = session.startswith("ls_") and self.world.emails[actor.id] == request.email
            if known and request.password == PASSWORD:
                answer = auth_pb2.LoginResponse(session_token=session, user=self.world.user(actor))
                answer.expires_at.FromDatetime(self.world.now() + timedelta(days=30))
                return answer
        raise Denied("The e-mail address or the password is wrong.", unauthenticated=True)

    async def Logout(self, request: Any, context: Any) -> Any:
        seen(self.world, "Logout")
        self.world.actors.pop(request.session_token, None)
        return auth_pb2.LogoutResponse()

    async def Authorize(self, request: Any, context: Any) -> Any:
        seen(self.world, "Authorize")
        actor = self.world.actors.get(request.credential)
        if actor is None:
            raise Denied("This session or token is unknown, expired or revoked.", unauthenticated=True)
        if request.method:
            permits(rule(request.method), actor)
        signed = self.world.identity.sign(actor, lifetime=60, now=self.world.now())
        answer = auth_pb2.AuthorizeResponse(identity=signed.reveal())
        answer.expires_at.FromDatetime(self.world.now() + timedelta(seconds=60))
        return answer

    async def GetMe(self, request: Any, context: Any) -> Any:
        actor = seen(self.world, "GetMe").actor
        answer = auth_pb2.GetMeResponse(user=self.world.user(actor), workspaces=self._of(actor))
        if actor.token_id:
            answer.token.CopyFrom(self.world.tokens[actor.token_id])
        return answer

    async def CreateUser(self, request: Any, context: Any) -> Any:
        seen(self.world, "CreateUser")
        actor = self.world.actors[self.world.sign_up(request.email)]
        return auth_pb2.CreateUserResponse(user=self.world.user(actor), workspace=self._of(actor)[0])

    async def ListWorkspaces(self, request: Any, context: Any) -> Any:
        return auth_pb2.ListWorkspacesResponse(workspaces=self._of(seen(self.world, "ListWorkspaces").actor))

    async def CreateWorkspace(self, request: Any, context: Any) -> Any:
        seen(self.world, "CreateWorkspace")
        made = auth_pb2.Workspace(id=new_id("workspace", self.world.clock), name=request.name)
        made.role = authorization_pb2.ROLE_OWNER
        made.created_at.FromDatetime(self.world.now())
        self.world.workspaces[made.id] = made
        return auth_pb2.CreateWorkspaceResponse(workspace=made)

    async def SetMember(self, request: Any, context: Any) -> Any:
        seen(self.world, "SetMember").allow(request.workspace_id, what=f"Workspace {request.workspace_id}")
        return auth_pb2.SetMemberResponse()

    async def CreateToken(self, request: Any, context: Any) -> Any:
        actor = seen(self.world, "CreateToken").actor
        token_id = new_id("token", self.world.clock)
        made = auth_pb2.Token(id=token_id, name=request.name, prefix="lr_abc", role=request.role)
        made.workspace_id, made.project_id = request.workspace_id, request.project_id
        made.environment_id = request.environment_id
        made.created_at.FromDatetime(self.world.now())
        self.world.tokens[token_id] = made
        secret = f"lr_{hashlib.sha256(token_id.encode()).hexdigest()}"
        self.world.actors[secret] = Actor(
            kind="user", id=actor.id, roles=actor.roles, project_id=request.project_id, token_id=token_id
        )
        return auth_pb2.CreateTokenResponse(token=made, secret=secret)

    async def ListTokens(self, request: Any, context: Any) -> Any:
        seen(self.world, "ListTokens")
        return auth_pb2.ListTokensResponse(tokens=self.world.tokens.values())

    async def RevokeToken(self, request: Any, context: Any) -> Any:
        seen(self.world, "RevokeToken")
        if self.world.tokens.pop(request.token_id, None) is None:
            raise NotFound(f"Token {request.token_id} does not exist.")
        self.world.actors = {
            key: actor for key, actor in self.world.actors.items() if actor.token_id != request.token_id
        }
        return auth_pb2.RevokeTokenResponse()

    def _of(self, actor: Actor) -> list[auth_pb2.Workspace]:
        return [self.world.workspaces[workspace] for workspace in actor.roles]


class Projects(project_pb2_grpc.ProjectServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def project(self, ctx: Ctx, project_id: str) -> project_pb2.Project:
        found = self.world.projects.get(project_id)
        ctx.allow(found.workspace_id if found else "", project_id, what=f"Project {project_id}")
        assert found
        return found

    def service(self, ctx: Ctx, service_id: str) -> project_pb2.Service:
        found = self.world.services.get(service_id)
        ctx.allow(found.workspace_id if found else "", what=f"Service {service_id}")
        assert found
        return found

    async def CreateProject(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "CreateProject")
        if not request.name.isascii():
            raise Invalid("A name has letters, digits and dashes.", field="name", hint="Try another.")
        made = project_pb2.Project(
            id=new_id("project", self.world.clock),
            workspace_id=ctx.only_workspace(request.workspace_id),
            name=request.name,
        )
        made.created_at.FromDatetime(self.world.now())
        self._add_environment(made, "production")
        self.world.projects[made.id] = made
        return project_pb2.CreateProjectResponse(project=made)

    def _add_environment(self, project: project_pb2.Project, name: str) -> project_pb2.Environment:
        made = project.environments.add(
            id=new_id("environment", self.world.clock), project_id=project.id, workspace_id=project.workspace_id
        )
        made.name = name
        made.created_at.FromDatetime(self.world.now())
        return made

    async def GetProject(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "GetProject")
        return project_pb2.GetProjectResponse(project=self.project(ctx, request.project_id))

    async def ListProjects(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "ListProjects")
        rows = [row for row in self.world.projects.values() if row.workspace_id in ctx.actor.roles]
        start = int(request.page.cursor or 0)
        rows, more = rows[start : start + request.page.limit], len(rows) > start + request.page.limit
        cursor = str(start + request.page.limit) if more else ""
        return project_pb2.ListProjectsResponse(projects=rows, next_cursor=cursor)

    async def DeleteProject(self, request: Any, context: Any) -> Any:
        self.project(seen(self.world, "DeleteProject"), request.project_id)
        del self.world.projects[request.project_id]
        return project_pb2.DeleteProjectResponse()

    async def CreateEnvironment(self, request: Any, context: Any) -> Any:
        project = self.project(seen(self.world, "CreateEnvironment"), request.project_id)
        return project_pb2.CreateEnvironmentResponse(environment=self._add_environment(project, request.name))

    async def ListEnvironments(self, request: Any, context: Any) -> Any:
        project = self.project(seen(self.world, "ListEnvironments"), request.project_id)
        return project_pb2.ListEnvironmentsResponse(environments=project.environments)

    async def CreateService(self, request: Any, context: Any) -> Any:
        project = self.project(seen(self.world, "CreateService"), request.project_id)
        first = project.environments[0]
        made = project_pb2.Service(
            id=new_id("service", self.world.clock),
            project_id=project.id,
            workspace_id=project.workspace_id,
            name=request.name,
            environment_id=first.id,
            environment_name=first.name,
            project_name=project.name,
            settings=request.settings,
            public_domain=f"{request.name}-{first.name}.localhost",
        )
        made.created_at.FromDatetime(self.world.now())
        self.world.services[made.id] = made
        return project_pb2.CreateServiceResponse(service=made)

    async def GetService(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "GetService")
        return project_pb2.GetServiceResponse(service=self.service(ctx, request.service_id))

    async def ListServices(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "ListServices")
        self.project(ctx, request.project_id)
        rows = [row for row in self.world.services.values() if row.project_id == request.project_id]
        return project_pb2.ListServicesResponse(services=rows)

    async def UpdateService(self, request: Any, context: Any) -> Any:
        service = self.service(seen(self.world, "UpdateService"), request.service_id)
        service.settings.MergeFrom(request.settings)
        for name in request.clear:
            service.settings.ClearField(name)
        return project_pb2.UpdateServiceResponse(service=service)

    async def DeleteService(self, request: Any, context: Any) -> Any:
        self.service(seen(self.world, "DeleteService"), request.service_id)
        del self.world.services[request.service_id]
        return project_pb2.DeleteServiceResponse()

    def _held(self, ctx: Ctx, request: Any) -> dict[str, project_pb2.Variable]:
        if request.service_id:
            self.service(ctx, request.service_id)
        elif not any(
            row.id == request.environment_id and row.workspace_id in ctx.actor.roles
            for project in self.world.projects.values()
            for row in project.environments
        ):
            raise NotFound(f"Environment {request.environment_id} does not exist.")
        key = (request.service_id, "" if request.service_id else request.environment_id)
        return self.world.variables.setdefault(key, {})

    async def ListVariables(self, request: Any, context: Any) -> Any:
        held = self._held(seen(self.world, "ListVariables"), request)
        rows = list(held.values())
        if request.rendered:
            rows.append(project_pb2.Variable(name="LIGHTRAIL_PROJECT_NAME", value="p", provided=True))
        return project_pb2.ListVariablesResponse(variables=rows, version=1)

    async def SetVariables(self, request: Any, context: Any) -> Any:
        held = self._held(seen(self.world, "SetVariables"), request)
        for name, value in request.values.items():
            if "${{nobody." in value:
                raise Invalid(f"{name}: there is no service “nobody”.", field=name)
        if request.replace:
            held.clear()
        for name, value in request.values.items():
            written = "" if request.sealed else value
            held[name] = project_pb2.Variable(name=name, value=written, sealed=request.sealed)
        return project_pb2.SetVariablesResponse(version=2)

    async def DeleteVariable(self, request: Any, context: Any) -> Any:
        held = self._held(seen(self.world, "DeleteVariable"), request)
        if held.pop(request.name, None) is None:
            raise NotFound(f"There is no variable {request.name}.", field="name")
        return project_pb2.DeleteVariableResponse(version=3)

    async def RenderVariables(self, request: Any, context: Any) -> Any:
        raise AssertionError("the gateway never asks for sealed values")


class Build(build_pb2_grpc.BuildServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def UploadSnapshot(self, request_iterator: Any, context: Any) -> Any:
        ctx = seen(self.world, "UploadSnapshot")
        content, service_id, largest = bytearray(), "", 0
        async for message in request_iterator:
            if message.service_id:
                service_id = message.service_id
                service = self.world.services.get(service_id)
                ctx.allow(service.workspace_id if service else "", what=f"Service {service_id}")
            content += message.chunk
            largest = max(largest, len(message.chunk))
            if len(content) > LARGEST_UPLOAD:
                raise Exhausted("The upload is larger than 8 MiB.", hint="Leave something out.")
        try:
            gzip.decompress(content)
        except (OSError, EOFError) as error:
            # Also an upload that broke off: to this side it only looks like its end.
            raise Invalid("This is no whole tar archive.", field="snapshot") from error
        assert largest <= 512 * 1024, "held more than a piece"
        made = build_pb2.Snapshot(id=new_id("snapshot", self.world.clock), service_id=service_id)
        made.workspace_id = self.world.services[service_id].workspace_id
        made.digest, made.size_bytes = f"sha256:{hashlib.sha256(content).hexdigest()}", len(content)
        made.created_at.FromDatetime(self.world.now())
        self.world.snapshots[made.id] = bytes(content)
        return build_pb2.UploadSnapshotResponse(snapshot=made)

    async def StreamBuildLog(self, request: Any, context: Any) -> AsyncIterator[Any]:
        seen(self.world, "StreamBuildLog")
        key = request.deployment_id
        if key not in self.world.build_lines:
            raise NotFound("There is no build of this deployment.")
        number = request.after
        while True:
            lines = self.world.build_lines[key][number:]
            for text in lines:
                number += 1
                line = build_pb2.LogLine(number=number, step="install", stream="stdout", text=text)
                line.time.FromDatetime(self.world.now())
                yield build_pb2.StreamBuildLogResponse(lines=[line])
            if not request.follow or key not in self.world.building:
                return
            async with self.world.changed:
                await self.world.changed.wait()

    async def GetSnapshot(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")

    async def GetBuild(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")

    async def CancelBuild(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")

    async def GetArtifact(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")


class Deploy(deploy_pb2_grpc.DeploymentServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    def deployment(self, ctx: Ctx, deployment_id: str) -> deploy_pb2.Deployment:
        found = self.world.deployments.get(deployment_id)
        ctx.allow(found.workspace_id if found else "", what=f"Deployment {deployment_id}")
        assert found
        return found

    def make(self, service: project_pb2.Service, trigger: str, **more: Any) -> deploy_pb2.Deployment:
        made = deploy_pb2.Deployment(
            id=new_id("deployment", self.world.clock),
            workspace_id=service.workspace_id,
            project_id=service.project_id,
            environment_id=service.environment_id,
            service_id=service.id,
            service_name=service.name,
            state=STATES.DEPLOYMENT_STATE_QUEUED,
            trigger=trigger,
            replicas=1,
            url=f"http://{service.public_domain}:8080",
            **more,
        )
        made.created_at.FromDatetime(self.world.now())
        made.updated_at.FromDatetime(self.world.now())
        self.world.deployments[made.id] = made
        return made

    async def CreateDeployment(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "CreateDeployment")
        service = self.world.services.get(request.service_id)
        ctx.allow(service.workspace_id if service else "", what=f"Service {request.service_id}")
        assert service
        if request.image_url:
            raise Conflict(
                "Image deployments need the docker runtime, which this platform does not have.",
                hint="Deploy a snapshot of the source instead.",
            )
        if request.idempotency_key in self.world.keys:
            known = self.world.deployments[self.world.keys[request.idempotency_key]]
            return deploy_pb2.CreateDeploymentResponse(deployment=known)
        made = self.make(service, "upload", snapshot_id=request.snapshot_id, resources=request.resources)
        if request.idempotency_key:
            self.world.keys[request.idempotency_key] = made.id
        await self.world.tell()
        return deploy_pb2.CreateDeploymentResponse(deployment=made)

    async def GetDeployment(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "GetDeployment")
        return deploy_pb2.GetDeploymentResponse(deployment=self.deployment(ctx, request.deployment_id))

    async def ListDeployments(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "ListDeployments")
        rows = [
            row
            for row in reversed(self.world.deployments.values())
            if row.workspace_id in ctx.actor.roles
            and request.service_id in ("", row.service_id)
            and request.project_id in ("", row.project_id)
        ]
        start = int(request.page.cursor or 0)
        end = start + (request.page.limit or 50)
        cursor = str(end) if len(rows) > end else ""
        return deploy_pb2.ListDeploymentsResponse(deployments=rows[start:end], next_cursor=cursor)

    async def DeleteDeployment(self, request: Any, context: Any) -> Any:
        found = self.deployment(seen(self.world, "DeleteDeployment"), request.deployment_id)
        found.state = STATES.DEPLOYMENT_STATE_REMOVING
        return deploy_pb2.DeleteDeploymentResponse(deployment=found)

    async def Redeploy(self, request: Any, context: Any) -> Any:
        found = self.deployment(seen(self.world, "Redeploy"), request.deployment_id)
        made = self.make(self.world.services[found.service_id], "redeploy", origin_id=found.id)
        await self.world.tell()
        return deploy_pb2.RedeployResponse(deployment=made)

    async def Rollback(self, request: Any, context: Any) -> Any:
        found = self.deployment(seen(self.world, "Rollback"), request.deployment_id)
        made = self.make(self.world.services[found.service_id], "rollback", origin_id=found.id)
        await self.world.tell()
        return deploy_pb2.RollbackResponse(deployment=made)

    async def StreamLogs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        seen(self.world, "StreamLogs")
        after = request.after
        matching = [row for row in self.world.log_lines if request.deployment_id in ("", row.deployment_id)]
        first = matching[-request.tail :] if request.tail else [row for row in matching if row.cursor > after]
        for line in first:
            yield deploy_pb2.StreamLogsResponse(lines=[line])
            after = line.cursor
        while request.follow:
            async with self.world.changed:
                await self.world.changed.wait()
            for line in [row for row in self.world.log_lines if row.cursor > after]:
                yield deploy_pb2.StreamLogsResponse(lines=[line])
                after = line.cursor

    async def SampleInstances(self, request: Any, context: Any) -> Any:
        raise AssertionError("no route asks for it")


class Metering(metering_pb2_grpc.MeteringServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def QueryUsage(self, request: Any, context: Any) -> Any:
        ctx = seen(self.world, "QueryUsage")
        if request.project_id and request.project_id not in self.world.projects:
            ctx.allow("", what=f"Project {request.project_id}")
        answer = metering_pb2.QueryUsageResponse(total_micro_usd=1234)
        for service in self.world.services.values():
            answer.services.add(service_id=service.id, project_id=service.project_id, cpu_microseconds=90_000_000)
        answer.start.FromDatetime(self.world.now() - timedelta(days=1))
        answer.end.FromDatetime(self.world.now())
        return answer


class Facts(facts_pb2_grpc.FactsServiceServicer):
    def __init__(self, world: World) -> None:
        self.world = world

    async def ReadFacts(self, request: Any, context: Any) -> Any:
        seen(self.world, "ReadFacts")
        rows = [fact for fact in self.world.facts if fact.correlation_id == request.correlation_id]
        return facts_pb2.ReadFactsResponse(facts=rows, head=len(self.world.facts))

    async def ListDeadLetters(self, request: Any, context: Any) -> Any:
        seen(self.world, "ListDeadLetters")
        return facts_pb2.ListDeadLettersResponse(dead_letters=self.world.letters.values())

    async def ReplayDeadLetter(self, request: Any, context: Any) -> Any:
        seen(self.world, "ReplayDeadLetter")
        if self.world.letters.pop(request.fact_id, None) is None:
            raise NotFound(f"There is no dead letter {request.fact_id} here.", field="fact_id")
        return facts_pb2.ReplayDeadLetterResponse()


def servicers(world: World) -> list[tuple[Callable[[Any, Any], None], object]]:
    return [
        (auth_pb2_grpc.add_AuthServiceServicer_to_server, Auth(world)),
        (project_pb2_grpc.add_ProjectServiceServicer_to_server, Projects(world)),
        (build_pb2_grpc.add_BuildServiceServicer_to_server, Build(world)),
        (deploy_pb2_grpc.add_DeploymentServiceServicer_to_server, Deploy(world)),
        (metering_pb2_grpc.add_MeteringServiceServicer_to_server, Metering(world)),
        (facts_pb2_grpc.add_FactsServiceServicer_to_server, Facts(world)),
    ]


async def serve(world: World, clock: Clock) -> Server:
    """All of them behind one address, as services of one process would be behind several."""

    async def exchange(credential: str, method: str) -> Actor:
        raise AssertionError(f"the gateway sends identities, never credentials: {credential[:3]} for {method}")

    server = Server("127.0.0.1:0", servicers(world), identity=world.identity, exchange=exchange, clock=clock)
    await server.start()
    return server


def addresses(port: int) -> Mapping[str, str]:
    names = ("AUTH", "PROJECT", "BUILD", "DEPLOY", "ROUTER", "METERING")
    return {f"LIGHTRAIL_{name}_ADDRESS": f"127.0.0.1:{port}" for name in names}

"""Project as the gateway meets it."""

from __future__ import annotations

from typing import Any

from libs.kernel.context import Ctx
from libs.kernel.errors import Invalid, NotFound
from libs.kernel.ids import new_id
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc, source_pb2, source_pb2_grpc
from tests.integration.gateway.world import (
    World,
    seen,
    start_of,
)


class Sources(source_pb2_grpc.SourceServiceServicer):
    def __init__(self, world: World, projects: Projects) -> None:
        self.world = world
        self.projects = projects

    async def GetSource(self, request: Any, context: Any) -> Any:
        self.projects.service(seen(self.world, "GetSource"), request.service_id)
        return source_pb2.GetSourceResponse(source=self.world.sources.get(request.service_id))

    async def SetSource(self, request: Any, context: Any) -> Any:
        self.projects.service(seen(self.world, "SetSource"), request.service_id)
        kept = self.world.sources.setdefault(request.service_id, source_pb2.Source())
        kept.CopyFrom(request.source)
        kept.has_password = bool(request.password)
        return source_pb2.SetSourceResponse(source=kept)

    async def ClearSource(self, request: Any, context: Any) -> Any:
        self.projects.service(seen(self.world, "ClearSource"), request.service_id)
        self.world.sources.pop(request.service_id, None)
        return source_pb2.ClearSourceResponse()

    async def CreateDeployKey(self, request: Any, context: Any) -> Any:
        self.projects.service(seen(self.world, "CreateDeployKey"), request.service_id)
        return source_pb2.CreateDeployKeyResponse(deploy_key="ssh-ed25519 AAAA lightrail")

    async def DeleteDeployKey(self, request: Any, context: Any) -> Any:
        self.projects.service(seen(self.world, "DeleteDeployKey"), request.service_id)
        return source_pb2.DeleteDeployKeyResponse()

    async def OpenSource(self, request: Any, context: Any) -> Any:
        raise NotImplementedError("The gateway opens no source.")

    async def KeepHostKeys(self, request: Any, context: Any) -> Any:
        raise NotImplementedError("The gateway meets no hosts.")

    async def ForgetHostKeys(self, request: Any, context: Any) -> Any:
        self.projects.service(seen(self.world, "ForgetHostKeys"), request.service_id)
        return source_pb2.ForgetHostKeysResponse()


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
        start = start_of(request.page.cursor)
        rows, more = rows[start : start + request.page.limit], len(rows) > start + request.page.limit
        cursor = str(start + request.page.limit) if more else ""
        return project_pb2.ListProjectsResponse(projects=rows, next_cursor=cursor)

    async def UpdateProject(self, request: Any, context: Any) -> Any:
        found = self.project(seen(self.world, "UpdateProject"), request.project_id)
        for name in ("scan_policy", "scan_severity"):
            if request.HasField(name):
                setattr(found, name, getattr(request, name))
        return project_pb2.UpdateProjectResponse(project=found)

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
        if request.settings.HasField("resources"):
            # They are one setting, and replaced as a whole.
            service.settings.ClearField("resources")
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

"""ProjectService: one use case behind each method."""

from __future__ import annotations

from typing import Final

import grpc

from libs.protogen.lightrail.project.v1 import project_pb2 as pb
from libs.protogen.lightrail.project.v1 import project_pb2_grpc
from libs.rpc import current
from services.project.app.projects import ProjectUseCases
from services.project.app.services import ServiceUseCases
from services.project.app.variables import VariableUseCases
from services.project.rpc.codec import environment_to, project_to, service_to, settings_from, variable_to

# Adds the servicer to a server.
ADD: Final = project_pb2_grpc.add_ProjectServiceServicer_to_server


class ProjectServicer(project_pb2_grpc.ProjectServiceServicer):
    """Serves projects, environments, services and variables."""

    def __init__(self, projects: ProjectUseCases, services: ServiceUseCases, variables: VariableUseCases) -> None:
        self._projects = projects
        self._services = services
        self._variables = variables

    async def CreateProject(
        self,
        request: pb.CreateProjectRequest,
        context: grpc.aio.ServicerContext[pb.CreateProjectRequest, pb.CreateProjectResponse],
    ) -> pb.CreateProjectResponse:
        """Makes the project with its first environment."""
        made = await self._projects.create_project(current(), request.workspace_id, request.name)
        return pb.CreateProjectResponse(project=project_to(made))

    async def GetProject(
        self,
        request: pb.GetProjectRequest,
        context: grpc.aio.ServicerContext[pb.GetProjectRequest, pb.GetProjectResponse],
    ) -> pb.GetProjectResponse:
        """The project with its environments."""
        found = await self._projects.get_project(current(), request.project_id)
        return pb.GetProjectResponse(project=project_to(found))

    async def ListProjects(
        self,
        request: pb.ListProjectsRequest,
        context: grpc.aio.ServicerContext[pb.ListProjectsRequest, pb.ListProjectsResponse],
    ) -> pb.ListProjectsResponse:
        """A page of projects."""
        page, next_cursor = await self._projects.list_projects(
            current(), request.workspace_id, limit=request.page.limit, cursor=request.page.cursor
        )
        return pb.ListProjectsResponse(projects=[project_to(each) for each in page], next_cursor=next_cursor)

    async def UpdateProject(
        self,
        request: pb.UpdateProjectRequest,
        context: grpc.aio.ServicerContext[pb.UpdateProjectRequest, pb.UpdateProjectResponse],
    ) -> pb.UpdateProjectResponse:
        """Changes what is set in the request."""
        changed = await self._projects.update_project(
            current(),
            request.project_id,
            scan_policy=request.scan_policy if request.HasField("scan_policy") else None,
            scan_severity=request.scan_severity if request.HasField("scan_severity") else None,
        )
        return pb.UpdateProjectResponse(project=project_to(changed))

    async def DeleteProject(
        self,
        request: pb.DeleteProjectRequest,
        context: grpc.aio.ServicerContext[pb.DeleteProjectRequest, pb.DeleteProjectResponse],
    ) -> pb.DeleteProjectResponse:
        """Deletes the project and everything in it."""
        await self._projects.delete_project(current(), request.project_id)
        return pb.DeleteProjectResponse()

    async def CreateEnvironment(
        self,
        request: pb.CreateEnvironmentRequest,
        context: grpc.aio.ServicerContext[pb.CreateEnvironmentRequest, pb.CreateEnvironmentResponse],
    ) -> pb.CreateEnvironmentResponse:
        """Adds an environment."""
        made = await self._projects.create_environment(current(), request.project_id, request.name)
        return pb.CreateEnvironmentResponse(environment=environment_to(made))

    async def ListEnvironments(
        self,
        request: pb.ListEnvironmentsRequest,
        context: grpc.aio.ServicerContext[pb.ListEnvironmentsRequest, pb.ListEnvironmentsResponse],
    ) -> pb.ListEnvironmentsResponse:
        """The project's environments."""
        found = await self._projects.list_environments(current(), request.project_id)
        return pb.ListEnvironmentsResponse(environments=[environment_to(each) for each in found])

    async def CreateService(
        self,
        request: pb.CreateServiceRequest,
        context: grpc.aio.ServicerContext[pb.CreateServiceRequest, pb.CreateServiceResponse],
    ) -> pb.CreateServiceResponse:
        """Adds a service to every environment."""
        made = await self._services.create_service(
            current(), request.project_id, request.name, settings_from(request.settings)
        )
        return pb.CreateServiceResponse(service=service_to(made))

    async def GetService(
        self,
        request: pb.GetServiceRequest,
        context: grpc.aio.ServicerContext[pb.GetServiceRequest, pb.GetServiceResponse],
    ) -> pb.GetServiceResponse:
        """The service in one environment."""
        found = await self._services.get_service(current(), request.service_id, request.environment_id, request.name)
        return pb.GetServiceResponse(service=service_to(found))

    async def ListServices(
        self,
        request: pb.ListServicesRequest,
        context: grpc.aio.ServicerContext[pb.ListServicesRequest, pb.ListServicesResponse],
    ) -> pb.ListServicesResponse:
        """The services of a project in one environment."""
        found = await self._services.list_services(current(), request.project_id, request.environment_id)
        return pb.ListServicesResponse(services=[service_to(each) for each in found])

    async def UpdateService(
        self,
        request: pb.UpdateServiceRequest,
        context: grpc.aio.ServicerContext[pb.UpdateServiceRequest, pb.UpdateServiceResponse],
    ) -> pb.UpdateServiceResponse:
        """Changes a service's name and settings."""
        changed = await self._services.update_service(
            current(),
            request.service_id,
            request.environment_id,
            request.name,
            settings_from(request.settings),
            list(request.clear),
        )
        return pb.UpdateServiceResponse(service=service_to(changed))

    async def DeleteService(
        self,
        request: pb.DeleteServiceRequest,
        context: grpc.aio.ServicerContext[pb.DeleteServiceRequest, pb.DeleteServiceResponse],
    ) -> pb.DeleteServiceResponse:
        """Deletes a service."""
        await self._services.delete_service(current(), request.service_id)
        return pb.DeleteServiceResponse()

    async def ListVariables(
        self,
        request: pb.ListVariablesRequest,
        context: grpc.aio.ServicerContext[pb.ListVariablesRequest, pb.ListVariablesResponse],
    ) -> pb.ListVariablesResponse:
        """Variables of a service, or shared ones."""
        listed, version = await self._variables.list_variables(
            current(), request.service_id, request.environment_id, rendered=request.rendered
        )
        return pb.ListVariablesResponse(variables=[variable_to(each) for each in listed], version=version)

    async def SetVariables(
        self,
        request: pb.SetVariablesRequest,
        context: grpc.aio.ServicerContext[pb.SetVariablesRequest, pb.SetVariablesResponse],
    ) -> pb.SetVariablesResponse:
        """Sets variables."""
        version = await self._variables.set_variables(
            current(),
            request.service_id,
            request.environment_id,
            dict(request.values),
            replace=request.replace,
            skip_deploys=request.skip_deploys,
            sealed=request.sealed,
        )
        return pb.SetVariablesResponse(version=version)

    async def DeleteVariable(
        self,
        request: pb.DeleteVariableRequest,
        context: grpc.aio.ServicerContext[pb.DeleteVariableRequest, pb.DeleteVariableResponse],
    ) -> pb.DeleteVariableResponse:
        """Deletes one variable."""
        version = await self._variables.delete_variable(
            current(), request.service_id, request.environment_id, request.name, skip_deploys=request.skip_deploys
        )
        return pb.DeleteVariableResponse(version=version)

    async def RenderVariables(
        self,
        request: pb.RenderVariablesRequest,
        context: grpc.aio.ServicerContext[pb.RenderVariablesRequest, pb.RenderVariablesResponse],
    ) -> pb.RenderVariablesResponse:
        """Everything a build or an instance is given."""
        rendered = await self._variables.render_variables(
            current(),
            request.service_id,
            request.environment_id,
            deployment_id=request.deployment_id,
            version=request.version,
        )
        return pb.RenderVariablesResponse(
            values={name: value.reveal() for name, value in rendered.values.items()},
            version=rendered.version,
            secret_names=rendered.secret_names,
        )

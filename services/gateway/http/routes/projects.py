"""Projects, environments, services."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request

from libs.kernel.errors import Invalid
from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.project.v1 import project_pb2
from services.gateway.http.doors import PROJECT, Caller, To, authorized
from services.gateway.http.models.base import (
    EnvironmentId,
    Items,
    Name,
    Page,
    ProjectId,
    ServiceId,
    Text,
    WorkspaceId,
)
from services.gateway.http.models.projects import (
    Environment,
    NewEnvironment,
    NewProject,
    NewService,
    Project,
    ProjectPatch,
    Service,
    ServicePatch,
)

router = APIRouter(tags=["projects"])
Limit = Annotated[int, Query(ge=1, le=200, description="At most this many.")]


@router.post("/projects", operation_id="createProject", status_code=HTTPStatus.CREATED)
async def create_project(
    body: NewProject, caller: Annotated[Caller, authorized(f"{PROJECT}/CreateProject")], to: To
) -> Project:
    """Makes a project with the environment “production”."""
    message = project_pb2.CreateProjectRequest(workspace_id=body.workspace_id or "", name=body.name)
    answer = await to.project.peer.call(to.project.stub.CreateProject, message, caller.ctx)
    return Project.of(answer.project)


@router.get("/projects", operation_id="listProjects")
async def list_projects(
    caller: Annotated[Caller, authorized(f"{PROJECT}/ListProjects")],
    to: To,
    workspace_id: WorkspaceId | None = None,
    limit: Limit = 50,
    cursor: Text = "",
) -> Page[Project]:
    """Projects of the caller's workspaces, or of one."""
    message = project_pb2.ListProjectsRequest(
        workspace_id=workspace_id or "", page=common_pb2.Page(limit=limit, cursor=cursor)
    )
    answer = await to.project.peer.call(to.project.stub.ListProjects, message, caller.ctx)
    return Page(items=[Project.of(row) for row in answer.projects], next_cursor=answer.next_cursor or None)


@router.get("/projects/{project_id}", operation_id="getProject")
async def get_project(
    project_id: ProjectId, caller: Annotated[Caller, authorized(f"{PROJECT}/GetProject")], to: To
) -> Project:
    """One project with its environments."""
    message = project_pb2.GetProjectRequest(project_id=project_id)
    answer = await to.project.peer.call(to.project.stub.GetProject, message, caller.ctx)
    return Project.of(answer.project)


@router.patch("/projects/{project_id}", operation_id="updateProject")
async def update_project(
    project_id: ProjectId,
    body: ProjectPatch,
    caller: Annotated[Caller, authorized(f"{PROJECT}/UpdateProject")],
    to: To,
) -> Project:
    """Changes a project's scan policy; the next build uses it."""
    message = project_pb2.UpdateProjectRequest(
        project_id=project_id, scan_policy=body.scan_policy, scan_severity=body.scan_severity
    )
    answer = await to.project.peer.call(to.project.stub.UpdateProject, message, caller.ctx)
    return Project.of(answer.project)


@router.delete("/projects/{project_id}", operation_id="deleteProject", status_code=HTTPStatus.NO_CONTENT)
async def delete_project(
    project_id: ProjectId, caller: Annotated[Caller, authorized(f"{PROJECT}/DeleteProject")], to: To
) -> None:
    """Deletes a project and everything in it."""
    message = project_pb2.DeleteProjectRequest(project_id=project_id)
    await to.project.peer.call(to.project.stub.DeleteProject, message, caller.ctx)


@router.post("/projects/{project_id}/environments", operation_id="createEnvironment", status_code=HTTPStatus.CREATED)
async def create_environment(
    project_id: ProjectId,
    body: NewEnvironment,
    caller: Annotated[Caller, authorized(f"{PROJECT}/CreateEnvironment")],
    to: To,
) -> Environment:
    """Adds an environment."""
    message = project_pb2.CreateEnvironmentRequest(project_id=project_id, name=body.name)
    answer = await to.project.peer.call(to.project.stub.CreateEnvironment, message, caller.ctx)
    return Environment.of(answer.environment)


@router.get("/projects/{project_id}/environments", operation_id="listEnvironments")
async def list_environments(
    project_id: ProjectId, caller: Annotated[Caller, authorized(f"{PROJECT}/ListEnvironments")], to: To
) -> Items[Environment]:
    """A project's environments, the first one made first."""
    message = project_pb2.ListEnvironmentsRequest(project_id=project_id)
    answer = await to.project.peer.call(to.project.stub.ListEnvironments, message, caller.ctx)
    return Items(items=[Environment.of(row) for row in answer.environments])


@router.post("/services", operation_id="createService", status_code=HTTPStatus.CREATED)
async def create_service(
    body: NewService, request: Request, caller: Annotated[Caller, authorized(f"{PROJECT}/CreateService")], to: To
) -> Service:
    """Makes a service in a project."""
    message = project_pb2.CreateServiceRequest(
        project_id=body.project_id, name=body.name, settings=body.settings.wire() if body.settings else None
    )
    answer = await to.project.peer.call(to.project.stub.CreateService, message, caller.ctx)
    return Service.of(answer.service, edge_port=request.app.state.edge_port)


@router.get("/services", operation_id="listServices")
async def list_services(
    request: Request,
    caller: Annotated[Caller, authorized(f"{PROJECT}/ListServices")],
    to: To,
    project_id: ProjectId | None = None,
    environment_id: EnvironmentId | None = None,
    name: Name | None = None,
) -> Items[Service]:
    """Services of a project as they are in an environment (its first one unless told), or the one with a name."""
    if project_id is None and environment_id is None:
        raise Invalid("Say of which project or environment.", field="project_id", hint="GET /projects lists them.")
    message = project_pb2.ListServicesRequest(project_id=project_id or "", environment_id=environment_id or "")
    answer = await to.project.peer.call(to.project.stub.ListServices, message, caller.ctx)
    port: int = request.app.state.edge_port
    rows = [Service.of(row, edge_port=port) for row in answer.services if name is None or row.name == name]
    return Items(items=rows)


@router.get("/services/{service_id}", operation_id="getService")
async def get_service(
    service_id: ServiceId,
    request: Request,
    caller: Annotated[Caller, authorized(f"{PROJECT}/GetService")],
    to: To,
    environment_id: EnvironmentId | None = None,
) -> Service:
    """A service as it is in an environment; the project's first one unless told."""
    message = project_pb2.GetServiceRequest(service_id=service_id, environment_id=environment_id or "")
    answer = await to.project.peer.call(to.project.stub.GetService, message, caller.ctx)
    return Service.of(answer.service, edge_port=request.app.state.edge_port)


@router.patch("/services/{service_id}", operation_id="updateService")
async def update_service(
    service_id: ServiceId,
    body: ServicePatch,
    request: Request,
    caller: Annotated[Caller, authorized(f"{PROJECT}/UpdateService")],
    to: To,
) -> Service:
    """Changes a service's name or settings; the next deployment uses them."""
    message = project_pb2.UpdateServiceRequest(
        service_id=service_id,
        environment_id=body.environment_id or "",
        name=body.name or "",
        settings=body.settings.wire() if body.settings else None,
        clear=body.settings.cleared() if body.settings else (),
    )
    answer = await to.project.peer.call(to.project.stub.UpdateService, message, caller.ctx)
    return Service.of(answer.service, edge_port=request.app.state.edge_port)


@router.delete("/services/{service_id}", operation_id="deleteService", status_code=HTTPStatus.NO_CONTENT)
async def delete_service(
    service_id: ServiceId, caller: Annotated[Caller, authorized(f"{PROJECT}/DeleteService")], to: To
) -> None:
    """Deletes a service in every environment; what runs is stopped."""
    message = project_pb2.DeleteServiceRequest(service_id=service_id)
    await to.project.peer.call(to.project.stub.DeleteService, message, caller.ctx)

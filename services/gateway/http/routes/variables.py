"""Variables of services, and those an environment's services share."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path

from libs.protogen.lightrail.project.v1 import project_pb2
from services.gateway.http.backend import Backend
from services.gateway.http.doors import PROJECT, Caller, To, authorized
from services.gateway.http.models.base import EnvironmentId, ServiceId
from services.gateway.http.models.projects import (
    NewVariables,
    SharedVariables,
    Variable,
    VariableName,
    Variables,
    VariablesVersion,
)

router = APIRouter(tags=["variables"])
Lists = Annotated[Caller, authorized(f"{PROJECT}/ListVariables")]
Sets = Annotated[Caller, authorized(f"{PROJECT}/SetVariables")]
Deletes = Annotated[Caller, authorized(f"{PROJECT}/DeleteVariable")]
NameInPath = Annotated[VariableName, Path()]
_SERVICE = "/services/{service_id}/variables"
_SHARED = "/environments/{environment_id}/variables"


@router.get(_SERVICE, operation_id="listVariables")
async def list_variables(
    service_id: ServiceId,
    caller: Lists,
    to: To,
    environment_id: EnvironmentId | None = None,
    rendered: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> Variables:
    """A service's variables as written, or rendered: references resolved, and what the platform gives."""
    return await _list(to, caller, service_id, environment_id or "", rendered=rendered)


@router.put(_SERVICE, operation_id="replaceVariables")
async def replace_variables(service_id: ServiceId, body: NewVariables, caller: Sets, to: To) -> VariablesVersion:
    """Sets these variables and deletes all others."""
    return await _set(to, caller, service_id, body.environment_id or "", body, replace=True)


@router.patch(_SERVICE, operation_id="mergeVariables")
async def merge_variables(service_id: ServiceId, body: NewVariables, caller: Sets, to: To) -> VariablesVersion:
    """Sets these variables and keeps all others."""
    return await _set(to, caller, service_id, body.environment_id or "", body, replace=False)


@router.delete(_SERVICE + "/{name}", operation_id="deleteVariable", status_code=HTTPStatus.OK)
async def delete_variable(
    service_id: ServiceId,
    name: NameInPath,
    caller: Deletes,
    to: To,
    environment_id: EnvironmentId | None = None,
    skip_deploys: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> VariablesVersion:
    """Deletes one variable."""
    return await _delete(to, caller, service_id, environment_id or "", name, skip_deploys=skip_deploys)


@router.get(_SHARED, operation_id="listSharedVariables")
async def list_shared(
    environment_id: EnvironmentId,
    caller: Lists,
    to: To,
    rendered: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> Variables:
    """Variables all services of an environment may refer to as ${{shared.NAME}}."""
    return await _list(to, caller, "", environment_id, rendered=rendered)


@router.put(_SHARED, operation_id="replaceSharedVariables")
async def replace_shared(
    environment_id: EnvironmentId, body: SharedVariables, caller: Sets, to: To
) -> VariablesVersion:
    """Sets these shared variables and deletes all others."""
    return await _set(to, caller, "", environment_id, body, replace=True)


@router.patch(_SHARED, operation_id="mergeSharedVariables")
async def merge_shared(environment_id: EnvironmentId, body: SharedVariables, caller: Sets, to: To) -> VariablesVersion:
    """Sets these shared variables and keeps all others."""
    return await _set(to, caller, "", environment_id, body, replace=False)


@router.delete(_SHARED + "/{name}", operation_id="deleteSharedVariable", status_code=HTTPStatus.OK)
async def delete_shared(
    environment_id: EnvironmentId,
    name: NameInPath,
    caller: Deletes,
    to: To,
    skip_deploys: bool = False,  # noqa: FBT001, FBT002 - a query parameter
) -> VariablesVersion:
    """Deletes one shared variable."""
    return await _delete(to, caller, "", environment_id, name, skip_deploys=skip_deploys)


async def _list(to: Backend, caller: Caller, service_id: str, environment_id: str, *, rendered: bool) -> Variables:
    message = project_pb2.ListVariablesRequest(service_id=service_id, environment_id=environment_id, rendered=rendered)
    answer = await to.project.peer.call(to.project.stub.ListVariables, message, caller.ctx)
    return Variables(items=[Variable.of(row) for row in answer.variables], version=answer.version)


async def _set(
    to: Backend,
    caller: Caller,
    service_id: str,
    environment_id: str,
    body: NewVariables | SharedVariables,
    *,
    replace: bool,
) -> VariablesVersion:
    message = project_pb2.SetVariablesRequest(
        service_id=service_id,
        environment_id=environment_id,
        values=body.values,
        replace=replace,
        skip_deploys=body.skip_deploys,
        sealed=body.sealed,
    )
    answer = await to.project.peer.call(to.project.stub.SetVariables, message, caller.ctx)
    return VariablesVersion(version=answer.version)


async def _delete(
    to: Backend, caller: Caller, service_id: str, environment_id: str, name: str, *, skip_deploys: bool
) -> VariablesVersion:
    message = project_pb2.DeleteVariableRequest(
        service_id=service_id, environment_id=environment_id, name=name, skip_deploys=skip_deploys
    )
    answer = await to.project.peer.call(to.project.stub.DeleteVariable, message, caller.ctx)
    return VariablesVersion(version=answer.version)

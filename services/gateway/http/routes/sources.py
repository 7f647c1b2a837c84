"""Sources of services, and their keys."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from libs.protogen.lightrail.project.v1 import source_pb2
from services.gateway.http.doors import SOURCE, Caller, To, authorized
from services.gateway.http.models.base import EnvironmentId, ServiceId
from services.gateway.http.models.sources import DeployKey, NewSource, Source

router = APIRouter(tags=["sources"])
Renew = Annotated[bool, Query(description="Make a new key although there is one.")]


@router.get("/services/{service_id}/source", operation_id="getSource")
async def get_source(
    service_id: ServiceId,
    caller: Annotated[Caller, authorized(f"{SOURCE}/GetSource")],
    to: To,
    environment_id: EnvironmentId | None = None,
) -> Source:
    """Where a service's source comes from when nothing is uploaded."""
    message = source_pb2.GetSourceRequest(service_id=service_id, environment_id=environment_id or "")
    return Source.of((await to.sources.peer.call(to.sources.stub.GetSource, message, caller.ctx)).source)


@router.put("/services/{service_id}/source", operation_id="setSource")
async def set_source(
    service_id: ServiceId, body: NewSource, caller: Annotated[Caller, authorized(f"{SOURCE}/SetSource")], to: To
) -> Source:
    """Sets it; the next deployment without an upload uses it."""
    answer = await to.sources.peer.call(to.sources.stub.SetSource, body.wire(service_id), caller.ctx)
    return Source.of(answer.source)


@router.delete("/services/{service_id}/source", operation_id="clearSource", status_code=HTTPStatus.NO_CONTENT)
async def clear_source(
    service_id: ServiceId,
    caller: Annotated[Caller, authorized(f"{SOURCE}/ClearSource")],
    to: To,
    environment_id: EnvironmentId | None = None,
) -> None:
    """Forgets it, its password too; the deploy key stays."""
    message = source_pb2.ClearSourceRequest(service_id=service_id, environment_id=environment_id or "")
    await to.sources.peer.call(to.sources.stub.ClearSource, message, caller.ctx)


@router.post("/services/{service_id}/deploy-key", operation_id="createDeployKey")
async def create_deploy_key(
    service_id: ServiceId,
    caller: Annotated[Caller, authorized(f"{SOURCE}/CreateDeployKey")],
    to: To,
    renew: Renew = False,  # noqa: FBT002 - a query parameter
) -> DeployKey:
    """Makes the service's ssh key when it has none, and gives its public half."""
    message = source_pb2.CreateDeployKeyRequest(service_id=service_id, renew=renew)
    answer = await to.sources.peer.call(to.sources.stub.CreateDeployKey, message, caller.ctx)
    return DeployKey(deploy_key=answer.deploy_key)


@router.delete("/services/{service_id}/deploy-key", operation_id="deleteDeployKey", status_code=HTTPStatus.NO_CONTENT)
async def delete_deploy_key(
    service_id: ServiceId, caller: Annotated[Caller, authorized(f"{SOURCE}/DeleteDeployKey")], to: To
) -> None:
    """Forgets the service's ssh key."""
    message = source_pb2.DeleteDeployKeyRequest(service_id=service_id)
    await to.sources.peer.call(to.sources.stub.DeleteDeployKey, message, caller.ctx)


@router.delete("/services/{service_id}/host-keys", operation_id="forgetHostKeys", status_code=HTTPStatus.NO_CONTENT)
async def forget_host_keys(
    service_id: ServiceId, caller: Annotated[Caller, authorized(f"{SOURCE}/ForgetHostKeys")], to: To
) -> None:
    """Forgets the keys that ssh hosts showed first: the next fetch trusts what it finds."""
    message = source_pb2.ForgetHostKeysRequest(service_id=service_id)
    await to.sources.peer.call(to.sources.stub.ForgetHostKeys, message, caller.ctx)

"""Deployments: ask for one, look, stop, repeat, go back."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Response

from libs.kernel.context import Ctx
from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from services.gateway.http.backend import Backend
from services.gateway.http.doors import DEPLOY, Caller, To, authorized
from services.gateway.http.models.base import DeploymentId, EnvironmentId, Page, ProjectId, ServiceId, Text
from services.gateway.http.models.deployments import Deployment, NewDeployment
from services.gateway.http.routes.projects import Limit

router = APIRouter(tags=["deployments"])
IdempotencyKey = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        max_length=255,
        pattern=r"^[\x21-\x7e]*$",
        description="The same key within a day gives the same deployment.",
    ),
]


@router.post("/deployments", operation_id="createDeployment", status_code=HTTPStatus.ACCEPTED)
async def create_deployment(
    body: NewDeployment,
    response: Response,
    caller: Annotated[Caller, authorized(f"{DEPLOY}/CreateDeployment")],
    to: To,
    idempotency_key: IdempotencyKey = "",
) -> Deployment:
    """Asks for a deployment and returns at once; follow it with its events."""
    answer = await to.deploy.peer.call(to.deploy.stub.CreateDeployment, body.wire(idempotency_key), caller.ctx)
    return _located(Deployment.of(answer.deployment), response)


@router.get("/deployments", operation_id="listDeployments")
async def list_deployments(
    caller: Annotated[Caller, authorized(f"{DEPLOY}/ListDeployments")],
    to: To,
    service_id: ServiceId | None = None,
    environment_id: EnvironmentId | None = None,
    project_id: ProjectId | None = None,
    limit: Limit = 50,
    cursor: Text = "",
) -> Page[Deployment]:
    """Deployments the caller may see, newest first."""
    message = deploy_pb2.ListDeploymentsRequest(
        service_id=service_id or "",
        environment_id=environment_id or "",
        project_id=project_id or "",
        page=common_pb2.Page(limit=limit, cursor=cursor),
    )
    answer = await to.deploy.peer.call(to.deploy.stub.ListDeployments, message, caller.ctx)
    return Page(items=[Deployment.of(row) for row in answer.deployments], next_cursor=answer.next_cursor or None)


@router.get("/deployments/{deployment_id}", operation_id="getDeployment")
async def get_deployment(
    deployment_id: DeploymentId, caller: Annotated[Caller, authorized(f"{DEPLOY}/GetDeployment")], to: To
) -> Deployment:
    """One deployment with its instances."""
    return await read(to, deployment_id, caller.ctx)


@router.delete("/deployments/{deployment_id}", operation_id="deleteDeployment", status_code=HTTPStatus.ACCEPTED)
async def delete_deployment(
    deployment_id: DeploymentId, caller: Annotated[Caller, authorized(f"{DEPLOY}/DeleteDeployment")], to: To
) -> Deployment:
    """Cancels a deployment on its way, stops one that is live; harmless when repeated."""
    message = deploy_pb2.DeleteDeploymentRequest(deployment_id=deployment_id)
    answer = await to.deploy.peer.call(to.deploy.stub.DeleteDeployment, message, caller.ctx)
    return Deployment.of(answer.deployment)


@router.post("/deployments/{deployment_id}/redeploy", operation_id="redeploy", status_code=HTTPStatus.ACCEPTED)
async def redeploy(
    deployment_id: DeploymentId,
    response: Response,
    caller: Annotated[Caller, authorized(f"{DEPLOY}/Redeploy")],
    to: To,
) -> Deployment:
    """Builds the same source again, with today's variables and settings."""
    message = deploy_pb2.RedeployRequest(deployment_id=deployment_id)
    answer = await to.deploy.peer.call(to.deploy.stub.Redeploy, message, caller.ctx)
    return _located(Deployment.of(answer.deployment), response)


@router.post("/deployments/{deployment_id}/rollback", operation_id="rollback", status_code=HTTPStatus.ACCEPTED)
async def rollback(
    deployment_id: DeploymentId,
    response: Response,
    caller: Annotated[Caller, authorized(f"{DEPLOY}/Rollback")],
    to: To,
) -> Deployment:
    """Starts this older deployment's artifact, variables and settings again, without a build."""
    message = deploy_pb2.RollbackRequest(deployment_id=deployment_id)
    answer = await to.deploy.peer.call(to.deploy.stub.Rollback, message, caller.ctx)
    return _located(Deployment.of(answer.deployment), response)


async def read(to: Backend, deployment_id: str, ctx: Ctx) -> Deployment:
    """The deployment as deploy knows it now. NotFound when it is not the caller's to see."""
    message = deploy_pb2.GetDeploymentRequest(deployment_id=deployment_id)
    answer = await to.deploy.peer.call(to.deploy.stub.GetDeployment, message, ctx)
    return Deployment.of(answer.deployment)


def _located(deployment: Deployment, response: Response) -> Deployment:
    response.headers["Location"] = f"/api/v1/deployments/{deployment.id}"
    return deployment

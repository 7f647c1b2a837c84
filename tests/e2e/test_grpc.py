"""The same platform over gRPC: reflection, an API token, and deployments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from tests.e2e.application import Application
from tests.e2e.platform import Platform

Make = Callable[..., Awaitable[Application]]
SERVICE = "lightrail.deploy.v1.DeploymentService"


@asynccontextmanager
async def channel(platform: Platform) -> AsyncIterator[grpc.aio.Channel]:
    """Connects to deploy's gRPC server, as `lr platform status` tells its address."""
    parts = await platform.parts()
    address = parts["deploy"]["address"]
    async with grpc.aio.insecure_channel(address) as connected:
        yield connected


async def bearer(platform: Platform) -> tuple[tuple[str, str], ...]:
    """Makes an API token and gives the metadata that carries it."""
    made = await platform.api("POST", "/tokens", json={"name": "grpc"})
    return (("authorization", f"Bearer {made['secret']}"),)


async def test_reflection_lists_the_services_and_their_methods(platform: Platform) -> None:
    async with channel(platform) as connected:
        stub = reflection_pb2_grpc.ServerReflectionStub(connected)
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
        ]
        answers = [answer async for answer in stub.ServerReflectionInfo(iter(asked))]
    names = {service.name for service in answers[0].list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    described = b"".join(answers[1].file_descriptor_response.file_descriptor_proto)
    for method in (b"CreateDeployment", b"GetDeployment", b"ListDeployments", b"DeleteDeployment"):
        assert method in described


async def test_an_image_deployment_says_which_runtime_is_missing(application: Make, platform: Platform) -> None:
    app = await application("static-site")
    request = deploy_pb2.CreateDeploymentRequest(
        service_name=app.name,
        environment_id=app.environment_id,
        image_url="registry.example.test/team/app:1.0",
        replicas=2,
        env_vars={"A": "1"},
        resources=common_pb2.Resources(cpu_limit_millicores=500, memory_limit_bytes=256 * 1024 * 1024),
    )
    async with channel(platform) as connected:
        stub = deploy_pb2_grpc.DeploymentServiceStub(connected)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.CreateDeployment(request, metadata=await bearer(platform), timeout=10)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "docker" in (refused.value.details() or "").lower()


async def test_a_snapshot_is_deployed_listed_and_removed(application: Make, platform: Platform) -> None:
    app = await application("flask-pip")
    await app.up()
    first = (await app.deployments())[0]
    metadata = await bearer(platform)
    async with channel(platform) as connected:
        stub = deploy_pb2_grpc.DeploymentServiceStub(connected)
        made = await stub.CreateDeployment(
            deploy_pb2.CreateDeploymentRequest(
                service_id=app.id, snapshot_id=first["snapshot_id"], env_vars={"UPSTREAM": "this one only"}
            ),
            metadata=metadata,
            timeout=10,
        )
        await app.becomes("active", made.deployment.id)
        assert (await app.get("/whoami")).json()["upstream"] == "this one only"
        listed = await stub.ListDeployments(
            deploy_pb2.ListDeploymentsRequest(service_id=app.id), metadata=metadata, timeout=10
        )
        assert [row.id for row in listed.deployments] == [made.deployment.id, first["id"]]
        await stub.DeleteDeployment(
            deploy_pb2.DeleteDeploymentRequest(deployment_id=made.deployment.id), metadata=metadata, timeout=10
        )
        await stub.DeleteDeployment(
            deploy_pb2.DeleteDeploymentRequest(deployment_id=made.deployment.id), metadata=metadata, timeout=10
        )
    await app.becomes("removed", made.deployment.id)

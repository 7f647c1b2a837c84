"""Deployments as they go over the wire."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from libs.protogen.lightrail.common.v1 import common_pb2
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from services.deploy.app.commands import NewDeployment
from services.deploy.app.ports import ArtifactInUse, LogRecord
from services.deploy.domain.model import Deployment, GitSource, Instance, Resources


def deployment(model: Deployment, instances: Sequence[Instance] = ()) -> deploy_pb2.Deployment:
    """A deployment with its instances."""
    return deploy_pb2.Deployment(
        id=model.id,
        workspace_id=model.workspace_id,
        project_id=model.project_id,
        environment_id=model.environment_id,
        service_id=model.service_id,
        service_name=model.service_name,
        state=deploy_pb2.DeploymentState.Value(f"DEPLOYMENT_STATE_{model.state.upper()}"),
        reason=model.reason,
        snapshot_id=model.snapshot_id,
        artifact_digest=model.artifact_digest,
        url=model.url,
        replicas=model.replicas,
        resources=resources(model.resources),
        trigger=model.trigger,
        created_at=timestamp(model.created_at),
        updated_at=timestamp(model.updated_at),
        went_live_at=timestamp(model.went_live_at),
        instances=[_instance(one) for one in instances],
        variables_version=model.variables_version,
        origin_id=model.origin_id,
        git=_git(model.git),
    )


def resources(model: Resources) -> common_pb2.Resources:
    """What an instance may use."""
    return common_pb2.Resources(
        cpu_request_millicores=model.cpu_request_millicores,
        memory_request_bytes=model.memory_request_bytes,
        cpu_limit_millicores=model.cpu_limit_millicores,
        memory_limit_bytes=model.memory_limit_bytes,
    )


def wanted(request: deploy_pb2.CreateDeploymentRequest) -> NewDeployment:
    """What a caller asks for."""
    given = request.resources
    return NewDeployment(
        service_id=request.service_id,
        environment_id=request.environment_id,
        service_name=request.service_name,
        snapshot_id=request.snapshot_id,
        image_url=request.image_url,
        git=(GitSource(request.git.url, request.git.ref, request.git.push) if request.HasField("git") else None),
        replicas=request.replicas,
        variables=dict(request.env_vars),
        resources=Resources(
            given.cpu_request_millicores,
            given.memory_request_bytes,
            given.cpu_limit_millicores,
            given.memory_limit_bytes,
        ),
        idempotency_key=request.idempotency_key,
    )


def log_line(record: LogRecord) -> deploy_pb2.LogLine:
    """A line of output."""
    return deploy_pb2.LogLine(
        cursor=record.cursor,
        time=timestamp(record.time),
        deployment_id=record.deployment_id,
        instance_id=record.instance_id,
        replica=record.replica,
        stream=record.stream,
        text=record.text,
    )


def artifact_in_use(model: ArtifactInUse) -> deploy_pb2.ArtifactInUse:
    """What build has to keep."""
    return deploy_pb2.ArtifactInUse(
        artifact_digest=model.artifact_digest,
        snapshot_id=model.snapshot_id,
        service_id=model.service_id,
        running=model.running,
    )


def timestamp(moment: datetime | None) -> Timestamp | None:
    """A time on the wire; None stays unset."""
    if moment is None:
        return None
    wire = Timestamp()
    wire.FromDatetime(moment)
    return wire


def _git(model: GitSource | None) -> deploy_pb2.GitSource | None:
    if model is None:
        return None
    return deploy_pb2.GitSource(
        url=model.url,
        ref=model.ref,
        push=model.push_id,
        commit=model.commit,
        message=model.message,
        author=model.author,
    )


def _instance(model: Instance) -> deploy_pb2.Instance:
    return deploy_pb2.Instance(
        id=model.id,
        replica=model.replica,
        state=model.state,
        restarts=model.restarts,
        address=f"127.0.0.1:{model.port}" if model.port else "",
        started_at=timestamp(model.started_at),
        exit_code=model.exit_code,
    )

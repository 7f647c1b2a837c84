"""Deployments, snapshots, logs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from libs.protogen.lightrail.build.v1 import build_pb2
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from services.gateway.http.models.base import (
    Answered,
    Asked,
    EnvironmentId,
    LongText,
    Name,
    ServiceId,
    SnapshotId,
    Text,
)
from services.gateway.http.models.projects import VariableName
from services.gateway.http.models.resources import Resources
from services.gateway.http.wire import always, moment, text

# States in which nothing more happens by itself soon: streams of a deployment's states end there.
SETTLED: Final = frozenset({"active", "sleeping", "failed", "crashed", "skipped", "removed"})
_Image = Annotated[Text, Field(min_length=1, pattern=r"^[A-Za-z0-9][\w.:/@+-]*$")]


class Instance(Answered):
    """A running copy."""

    id: str
    replica: int
    state: str
    restarts: int
    address: str | None
    started_at: datetime | None
    exit_code: int | None

    @classmethod
    def of(cls, wire: deploy_pb2.Instance) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            replica=wire.replica,
            state=wire.state,
            restarts=wire.restarts,
            address=text(wire.address),
            started_at=moment(wire, "started_at"),
            exit_code=wire.exit_code if wire.HasField("exit_code") else None,
        )


class Git(Answered):
    """The commit that is deployed."""

    url: str | None = Field(description="Null: it was pushed to the platform.")
    ref: str | None = Field(description="What was asked for: a branch, a tag or a commit; null: the default branch.")
    commit: str | None = Field(description="Null while it is not fetched.")
    message: str | None = Field(description="First line of the commit's message.")
    author: str | None

    @classmethod
    def of(cls, wire: deploy_pb2.GitSource) -> Self:
        """Reads it from its message."""
        return cls(
            url=text(wire.url),
            ref=text(wire.ref),
            commit=text(wire.commit),
            message=text(wire.message),
            author=text(wire.author),
        )


class Deployment(Answered):
    """One try to bring a version of a service live."""

    id: str
    workspace_id: str
    project_id: str
    environment_id: str
    service_id: str
    service_name: str
    state: str
    reason: str | None = Field(description="Why it is in this state, in a sentence.")
    snapshot_id: str | None
    artifact_digest: str | None
    url: str | None = Field(description="Null for a worker.")
    replicas: int
    resources: Resources
    trigger: str
    created_at: datetime
    updated_at: datetime
    went_live_at: datetime | None
    instances: list[Instance] = Field(description="In a list of deployments only those that have not exited.")
    variables_version: int
    origin_id: str | None = Field(description="The deployment this one was made from (redeploy, rollback).")
    git: Git | None = Field(description="Null: its source was uploaded.")

    @classmethod
    def of(cls, wire: deploy_pb2.Deployment) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            workspace_id=wire.workspace_id,
            project_id=wire.project_id,
            environment_id=wire.environment_id,
            service_id=wire.service_id,
            service_name=wire.service_name,
            state=state_name(wire.state),
            reason=text(wire.reason),
            snapshot_id=text(wire.snapshot_id),
            artifact_digest=text(wire.artifact_digest),
            url=text(wire.url),
            replicas=wire.replicas,
            resources=Resources.of(wire.resources),
            trigger=wire.trigger,
            created_at=always(wire, "created_at"),
            updated_at=always(wire, "updated_at"),
            went_live_at=moment(wire, "went_live_at"),
            instances=[Instance.of(row) for row in wire.instances],
            variables_version=wire.variables_version,
            origin_id=text(wire.origin_id),
            git=Git.of(wire.git) if wire.HasField("git") else None,
        )


class GitWish(Asked):
    """A commit to deploy; what is left out is the service's source's."""

    url: Text | None = Field(default=None, description="https://…, ssh://…, or user@host:path")
    ref: Text | None = Field(default=None, description="Branch, tag or commit; null: the default branch.")


class NewDeployment(Asked):
    """What to deploy: a service, and a snapshot of its source, a commit or an image; none: the service's source."""

    service_id: ServiceId | None = None
    service_name: Name | None = Field(default=None, description="Instead of service_id, with environment_id.")
    environment_id: EnvironmentId | None = Field(default=None, description="Null: the project's first environment.")
    snapshot_id: SnapshotId | None = None
    image_url: _Image | None = None
    git: GitWish | None = None
    replicas: int | None = Field(default=None, ge=1, le=100, description="Null: the service's setting.")
    env_vars: dict[VariableName, LongText] = Field(
        default_factory=dict, max_length=1000, description="Over the service's variables, for this deployment only."
    )
    resources: Resources | None = None

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.service_id is None) == (self.service_name is None):
            raise ValueError("Give either service_id, or service_name with environment_id.")
        if self.service_name is not None and self.environment_id is None:
            raise ValueError("A service's name is only known in an environment: give environment_id too.")
        if sum(given is not None for given in (self.snapshot_id, self.image_url, self.git)) > 1:
            raise ValueError("Give one of snapshot_id, image_url and git.")
        return self

    def wire(self, idempotency_key: str) -> deploy_pb2.CreateDeploymentRequest:
        """The request for deploy."""
        return deploy_pb2.CreateDeploymentRequest(
            service_id=self.service_id or "",
            service_name=self.service_name or "",
            environment_id=self.environment_id or "",
            snapshot_id=self.snapshot_id or "",
            image_url=self.image_url or "",
            replicas=self.replicas or 0,
            env_vars=self.env_vars,
            resources=self.resources.wire() if self.resources else None,
            idempotency_key=idempotency_key,
            git=deploy_pb2.GitSource(url=self.git.url or "", ref=self.git.ref or "") if self.git else None,
        )


class Snapshot(Answered):
    """A source upload that is checked and stored."""

    id: str
    workspace_id: str
    service_id: str
    digest: str
    size_bytes: int
    created_at: datetime

    @classmethod
    def of(cls, wire: build_pb2.Snapshot) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            workspace_id=wire.workspace_id,
            service_id=wire.service_id,
            digest=wire.digest,
            size_bytes=wire.size_bytes,
            created_at=always(wire, "created_at"),
        )


class BuildLine(Answered):
    """A line of a build log."""

    number: int = Field(description="From 1, without gaps, per build.")
    time: datetime
    step: str
    stream: str
    text: str

    @classmethod
    def of(cls, wire: build_pb2.LogLine) -> Self:
        """Reads it from its message."""
        return cls(number=wire.number, time=always(wire, "time"), step=wire.step, stream=wire.stream, text=wire.text)


class LogLine(Answered):
    """A line an instance printed, or the platform's own about it."""

    cursor: int = Field(description="Pass the last one back as `after`.")
    time: datetime
    deployment_id: str
    instance_id: str | None
    replica: int
    stream: str
    text: str

    @classmethod
    def of(cls, wire: deploy_pb2.LogLine) -> Self:
        """Reads it from its message."""
        return cls(
            cursor=wire.cursor,
            time=always(wire, "time"),
            deployment_id=wire.deployment_id,
            instance_id=text(wire.instance_id),
            replica=wire.replica,
            stream=wire.stream,
            text=wire.text,
        )


def state_name(value: int) -> str:
    """The name of a state as the API writes it: "active"."""
    try:
        name = deploy_pb2.DeploymentState.Name(deploy_pb2.DeploymentState.ValueType(value))
    except ValueError:
        return "unknown"
    return name.removeprefix("DEPLOYMENT_STATE_").lower()

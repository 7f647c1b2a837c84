"""Projects, environments, services, variables."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field

from libs.protogen.lightrail.project.v1 import project_pb2
from services.gateway.http.models.base import (
    Answered,
    Asked,
    EnvironmentId,
    LongText,
    Name,
    ProjectId,
    Text,
    WorkspaceId,
)
from services.gateway.http.models.resources import Resources
from services.gateway.http.wire import always, text

# Seconds in a day: the longest any timeout may be.
DAY: Final = 86_400
# Fields of Settings that are plain values on the wire.
_PLAIN: Final = (
    "start_command",
    "build_command",
    "root_directory",
    "replicas",
    "health_path",
    "health_timeout",
    "restart_policy",
    "restart_max_retries",
    "drain_seconds",
    "kind",
    "test_command",
    "builder",
)


class Environment(Answered):
    """A project's environment."""

    id: str
    project_id: str
    workspace_id: str
    name: str
    created_at: datetime

    @classmethod
    def of(cls, wire: project_pb2.Environment) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            project_id=wire.project_id,
            workspace_id=wire.workspace_id,
            name=wire.name,
            created_at=always(wire, "created_at"),
        )


class Project(Answered):
    """A project with its environments."""

    id: str
    workspace_id: str
    name: str
    created_at: datetime
    environments: list[Environment]
    scan_policy: str = Field(description="What findings of a scan do to a build: warn or block.")
    scan_severity: str = Field(description="Findings this bad or worse count: low, medium, high or critical.")

    @classmethod
    def of(cls, wire: project_pb2.Project) -> Self:
        """Reads it from its message."""
        return cls(
            id=wire.id,
            workspace_id=wire.workspace_id,
            name=wire.name,
            created_at=always(wire, "created_at"),
            environments=[Environment.of(row) for row in wire.environments],
            scan_policy=wire.scan_policy,
            scan_severity=wire.scan_severity,
        )


class NewProject(Asked):
    """A project to make; it comes with the environment “production”."""

    name: Name
    workspace_id: WorkspaceId | None = Field(default=None, description="Null: the caller's only workspace.")


class ProjectPatch(Asked):
    """What to change of a project; null: unchanged."""

    scan_policy: Literal["warn", "block"] | None = Field(
        default=None, description="What findings of a scan do to a build."
    )
    scan_severity: Literal["low", "medium", "high", "critical"] | None = Field(
        default=None, description="Findings this bad or worse count."
    )


class NewEnvironment(Asked):
    """An environment to make."""

    name: Name


class Settings(Asked):
    """How a service is built and run in an environment; null means detected, or the platform's default."""

    start_command: LongText | None = None
    build_command: LongText | None = None
    root_directory: Text | None = None
    replicas: int | None = Field(default=None, ge=0, le=100)
    health_path: Text | None = Field(
        default=None, description="Path that must answer 200. Null: the service must listen on PORT."
    )
    health_timeout: int | None = Field(default=None, ge=1, le=DAY, description="Seconds; 300 unless set.")
    restart_policy: Literal["on_failure", "always", "never"] | None = None
    restart_max_retries: int | None = Field(default=None, ge=0, le=1000)
    drain_seconds: int | None = Field(default=None, ge=0, le=DAY)
    resources: Resources | None = None
    kind: Literal["web", "worker"] | None = None
    test_command: LongText | None = Field(
        default=None, description="Runs in what was built; when it fails, nothing is deployed. Null: no test."
    )
    builder: Literal["slug", "docker", "buildah"] | None = Field(
        default=None, description="What builds. Null: what the source says, else the platform's own."
    )

    @classmethod
    def of(cls, wire: project_pb2.Settings) -> Settings:
        """Reads them from their message, without judging what a service stored."""
        values = {name: getattr(wire, name) for name in _PLAIN if wire.HasField(name)}
        resources = Resources.of(wire.resources) if wire.HasField("resources") else None
        return cls.model_construct(**{**dict.fromkeys(cls.model_fields), **values, "resources": resources})

    def wire(self) -> project_pb2.Settings:
        """The message with the fields that have a value."""
        message = project_pb2.Settings(**{name: value for name in _PLAIN if (value := getattr(self, name)) is not None})
        if self.resources is not None:
            message.resources.CopyFrom(self.resources.wire())
        return message

    def cleared(self) -> list[str]:
        """Names of the fields the caller wrote as null: to be put back to unset."""
        return sorted(name for name in self.model_fields_set if getattr(self, name) is None)


class Service(Answered):
    """A service as it is set up in one environment."""

    id: str
    project_id: str
    project_name: str
    workspace_id: str
    name: str
    created_at: datetime
    environment_id: str
    environment_name: str
    settings: Settings
    public_domain: str | None = Field(description="Host name under which the edge serves it.")
    url: str | None = Field(description="Where it answers once it is active.")

    @classmethod
    def of(cls, wire: project_pb2.Service, *, edge_port: int) -> Self:
        """Reads it from its message."""
        domain = text(wire.public_domain)
        return cls(
            id=wire.id,
            project_id=wire.project_id,
            project_name=wire.project_name,
            workspace_id=wire.workspace_id,
            name=wire.name,
            created_at=always(wire, "created_at"),
            environment_id=wire.environment_id,
            environment_name=wire.environment_name,
            settings=Settings.of(wire.settings),
            public_domain=domain,
            url=f"http://{domain}:{edge_port}" if domain else None,
        )


class NewService(Asked):
    """A service to make."""

    project_id: ProjectId
    name: Name
    settings: Settings | None = None


class ServicePatch(Asked):
    """Changes: only fields that are given change; a setting given as null is put back to unset."""

    environment_id: EnvironmentId | None = Field(default=None, description="Null: the project's first environment.")
    name: Name | None = None
    settings: Settings | None = None


class Variable(Answered):
    """A variable; `value` is null when it is sealed."""

    name: str
    value: str | None
    sealed: bool
    provided: bool = Field(description="Given by the platform; cannot be set.")

    @classmethod
    def of(cls, wire: project_pb2.Variable) -> Self:
        """Reads it from its message."""
        return cls(
            name=wire.name,
            value=None if wire.sealed else wire.value,
            sealed=wire.sealed,
            provided=wire.provided,
        )


class Variables(Answered):
    """Variables at one version."""

    items: list[Variable]
    version: int


def _variable_name(value: str) -> str:
    if "\x00" in value or "=" in value:
        raise ValueError("A variable's name holds neither “=” nor NUL.")
    return value


VariableName = Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_variable_name)]


class NewVariables(Asked):
    """Variables to set; deployments follow unless `skip_deploys`."""

    environment_id: EnvironmentId | None = Field(default=None, description="Null: the project's first environment.")
    values: dict[VariableName, LongText] = Field(max_length=1000)
    skip_deploys: bool = False
    sealed: bool = Field(default=False, description="Written once, never readable again.")


class SharedVariables(Asked):
    """Variables of an environment, for all its services."""

    values: dict[VariableName, LongText] = Field(max_length=1000)
    skip_deploys: bool = False
    sealed: bool = False


class VariablesVersion(Answered):
    """The version after a change."""

    version: int

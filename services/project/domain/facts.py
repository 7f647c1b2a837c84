"""What happened, in the past tense; each leaves the service by its outbox."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProjectCreated:
    """A workspace has a new project."""

    project_id: str
    workspace_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ProjectDeleted:
    """A project is gone, with its environments and services."""

    project_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class EnvironmentCreated:
    """A project has a new environment."""

    environment_id: str
    project_id: str
    workspace_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ServiceCreated:
    """A project has a new service, in each of its environments."""

    service_id: str
    project_id: str
    workspace_id: str
    name: str


@dataclass(frozen=True, slots=True)
class ServiceUpdated:
    """A service's name, or its settings in this environment, are new."""

    service_id: str
    environment_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class ServiceDeleted:
    """A service is gone from all environments of its project."""

    service_id: str
    project_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class VariablesChanged:
    """A scope's variables are new. An empty service means the environment's shared ones."""

    service_id: str
    environment_id: str
    workspace_id: str
    version: int
    skip_deploys: bool


Happened = (
    ProjectCreated
    | ProjectDeleted
    | EnvironmentCreated
    | ServiceCreated
    | ServiceUpdated
    | ServiceDeleted
    | VariablesChanged
)

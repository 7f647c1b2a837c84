"""What a workspace owns: projects, their environments, their services."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from libs.scan.severity import Policy
from services.project.domain.settings import Settings
from services.project.domain.variables import SHARED


@dataclass(frozen=True, slots=True)
class Project:
    """What belongs together: services that refer to each other, in several environments."""

    id: str
    workspace_id: str
    name: str
    created_at: datetime
    # What findings of a scan do to its builds.
    scan: Policy = field(default_factory=Policy)


@dataclass(frozen=True, slots=True)
class Environment:
    """A full, separate setting of a project: its own variables, deployments and host names."""

    id: str
    project_id: str
    workspace_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Service:
    """One app of a project; it exists in each of the project's environments."""

    id: str
    project_id: str
    workspace_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Setup:
    """A service as it is set up in one environment."""

    service: Service
    environment: Environment
    project_name: str
    settings: Settings
    # As the router gave it; "" until it did.
    claimed_domain: str

    @property
    def public_domain(self) -> str:
        """The host name under which the edge serves it; a worker has none."""
        return "" if self.settings.is_worker else self.claimed_domain


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose variables: a service's in an environment, or those the environment shares."""

    workspace_id: str
    project_id: str
    environment_id: str
    service_id: str = SHARED

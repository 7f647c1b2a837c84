"""What deploy knows: deployments, releases, instances, routes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from services.deploy.domain.instance import Artifact
from services.deploy.domain.machine import State, check

PAIR_SEPARATOR: Final = "/"


class Trigger(StrEnum):
    """Why a deployment was made."""

    UPLOAD = "upload"
    GIT = "git"
    PUSH = "push"
    REDEPLOY = "redeploy"
    ROLLBACK = "rollback"
    VARIABLES = "variables"


@dataclass(frozen=True, slots=True)
class Resources:
    """What an instance may use; 0: the platform's default."""

    cpu_request_millicores: int = 0
    memory_request_bytes: int = 0
    cpu_limit_millicores: int = 0
    memory_limit_bytes: int = 0

    def over(self, below: Resources) -> Resources:
        """These where set, else those of `below`."""
        return Resources(*(mine or theirs for mine, theirs in zip(self.values(), below.values(), strict=True)))

    def values(self) -> tuple[int, int, int, int]:
        """In the order of the fields."""
        return (
            self.cpu_request_millicores,
            self.memory_request_bytes,
            self.cpu_limit_millicores,
            self.memory_limit_bytes,
        )


@dataclass(frozen=True, slots=True)
class Settings:
    """How a release runs, defaults filled in (behaviour: health 300 s, restarts 10 on failure, drain 30 s)."""

    replicas: int = 1
    health_path: str | None = None
    health_timeout: int = 300
    restart_policy: str = "on_failure"
    restart_max_retries: int = 10
    drain_seconds: int = 30
    kind: str = "web"
    start_command: str = ""
    resources: Resources = Resources()


@dataclass(frozen=True, slots=True)
class GitSource:
    """A commit that is deployed: where it is asked for, and what it is once it was fetched."""

    # Empty: it was pushed to the platform.
    url: str = ""
    ref: str = ""
    push_id: str = ""
    commit: str = ""
    # First line of the commit's message.
    message: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class Deployment:
    """One attempt to make a version of a service live in an environment."""

    id: str
    workspace_id: str
    project_id: str
    environment_id: str
    service_id: str
    service_name: str
    state: State
    trigger: Trigger
    created_at: datetime
    updated_at: datetime
    reason: str = ""
    snapshot_id: str = ""
    artifact_digest: str = ""
    origin_id: str = ""
    url: str = ""
    replicas: int = 0
    resources: Resources = Resources()
    variables_version: int = 0
    went_live_at: datetime | None = None
    # Set when the release was made.
    settings: Settings | None = None
    # None: it was uploaded.
    git: GitSource | None = None

    @property
    def pair(self) -> str:
        """Key of everything that runs for this service in this environment."""
        return f"{self.service_id}{PAIR_SEPARATOR}{self.environment_id}"

    def move(self, state: State, reason: str, now: datetime) -> Deployment:
        """The deployment in its next state; Conflict when that may not follow."""
        check(self.state, state)
        live = now if state is State.ACTIVE and self.went_live_at is None else self.went_live_at
        return replace(self, state=state, reason=reason, updated_at=now, went_live_at=live)


class InstanceState(StrEnum):
    """Where an instance is in its life; each try to run is an instance of its own."""

    STARTING = "starting"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    STOPPING = "stopping"
    EXITED = "exited"


WANTED: Final = frozenset({InstanceState.STARTING, InstanceState.HEALTHY, InstanceState.UNHEALTHY})


@dataclass(frozen=True, slots=True)
class Instance:
    """One run of one replica."""

    id: str
    deployment_id: str
    # The service and environment it runs for.
    pair: str
    replica: int
    state: InstanceState
    # How often this replica was restarted before.
    restarts: int
    start_after: datetime
    port: int = 0
    started_at: datetime | None = None
    healthy_at: datetime | None = None
    checked_at: datetime | None = None
    failed_checks: int = 0
    drain_until: datetime | None = None
    exit_code: int | None = None
    reason: str = ""
    log_offset: int = 0


@dataclass(frozen=True, slots=True)
class Release:
    """Everything that an instance is started from; never changes."""

    deployment_id: str
    artifact: Artifact
    settings: Settings
    # Rendered variables as JSON, sealed by the keyring.
    sealed_variables: bytes
    secret_names: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """Where an instance answers."""

    instance_id: str
    port: int


@dataclass(frozen=True, slots=True)
class Route:
    """What the edge was last told, and has accepted."""

    endpoints: tuple[Endpoint, ...] = ()
    generation: int = 0

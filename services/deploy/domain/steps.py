"""What a rollout sees, and the steps that may be taken: plain data between the planner and the executor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from services.deploy.domain.instance import Observed
from services.deploy.domain.machine import State
from services.deploy.domain.model import Deployment, Endpoint, Instance, InstanceState, Route


@dataclass(frozen=True, slots=True)
class Check:
    """A health check that was made just now."""

    healthy: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """What is wanted and what is seen, of one service in one environment."""

    now: datetime
    # Not final, or with instances that are not gone; oldest first.
    deployments: tuple[Deployment, ...]
    # Not exited.
    instances: tuple[Instance, ...]
    observed: Mapping[str, Observed]
    checks: Mapping[str, Check]
    route: Route


@dataclass(frozen=True, slots=True)
class Move:
    """Brings a deployment to a state."""

    deployment: Deployment
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class MakeRelease:
    """Collects artifact, variables and settings into a release."""

    deployment: Deployment


@dataclass(frozen=True, slots=True)
class Create:
    """Adds an instance of a replica."""

    deployment: Deployment
    replica: int


@dataclass(frozen=True, slots=True)
class Start:
    """Starts an instance whose time has come."""

    instance: Instance


@dataclass(frozen=True, slots=True)
class Note:
    """Writes down what was seen of an instance."""

    instance: Instance
    state: InstanceState
    failed_checks: int = 0


@dataclass(frozen=True, slots=True)
class Replace:
    """Lets an instance go and puts another try in its place."""

    instance: Instance
    restarts: int
    start_after: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Tells the edge where requests go; done when the edge has accepted it."""

    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class GoLive:
    """Makes the candidate the active deployment, and the one before it leave."""

    candidate: Deployment
    previous: tuple[Deployment, ...]


@dataclass(frozen=True, slots=True)
class Retire:
    """Lets an instance finish what it holds, then stop."""

    instance: Instance
    drain_seconds: int


Action = Move | MakeRelease | Create | Start | Note | Replace | Publish | GoLive | Retire


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps to take in order, and when to look again; None: when woken."""

    actions: tuple[Action, ...]
    again: float | None

"""What deploy needs from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.kernel.context import Ctx
from services.deploy.domain.facts import Fact
from services.deploy.domain.instance import Artifact
from services.deploy.domain.model import Deployment, Endpoint, Instance, InstanceState, Release, Route, Settings
from services.deploy.domain.steps import Check


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deployments to list; empty: any."""

    service_id: str = ""
    environment_id: str = ""
    project_id: str = ""
    # Only those older than this id.
    before: str = ""


@dataclass(frozen=True, slots=True)
class ArtifactInUse:
    """What a deployment may still start from, and the source it was built from; either may be empty."""

    artifact_digest: str
    snapshot_id: str
    service_id: str
    # Something runs or is on its way; otherwise it is only kept for a rollback.
    running: bool


class Store(Protocol):
    """Deployments and all that belongs to them. Calls inside `work()` share its transaction."""

    def work(self) -> AbstractAsyncContextManager[object]:
        """A transaction; nested ones join it."""
        ...

    def after(self, call: Callable[[], None]) -> None:
        """Calls once the running transaction has committed."""
        ...

    async def record(self, fact: Fact) -> None:
        """Tells a fact with the running transaction."""
        ...

    async def add(self, deployment: Deployment, idempotency_key: str, sealed_variables: bytes) -> None:
        """Inserts a deployment."""
        ...

    async def by_key(self, like: Deployment, idempotency_key: str, since: datetime) -> Deployment | None:
        """The deployment of the same service and environment made with this key since then."""
        ...

    async def get(self, ctx: Ctx, deployment_id: str) -> Deployment:
        """One of the caller's deployments; NotFound otherwise."""
        ...

    async def lock(self, deployment_id: str) -> Deployment:
        """The deployment, held against changes by others until the transaction ends; NotFound when there is none."""
        ...

    async def save(self, deployment: Deployment) -> None:
        """Writes a deployment's state, reason and what it was given."""
        ...

    async def find(self, ctx: Ctx, wanted: Filter, limit: int) -> list[Deployment]:
        """The caller's deployments, newest first."""
        ...

    async def extra_variables(self, deployment_id: str) -> bytes:
        """The sealed variables given for this deployment only; empty when there are none."""
        ...

    async def open_pairs(self) -> list[str]:
        """Pairs with anything that may want a step."""
        ...

    async def of_pair(self, pair: str) -> list[Deployment]:
        """Deployments of a pair that are not final, or that have instances; oldest first."""
        ...

    async def live(self, service_id: str, environment_id: str) -> list[Deployment]:
        """What runs or is on its way, of a service, or of a whole environment when service_id is empty."""
        ...

    async def unfinished_of_service(self, service_id: str) -> list[Deployment]:
        """Deployments of a service, in every environment, that are not final."""
        ...

    async def forget_old(self, before: datetime, keep: int) -> int:
        """Deletes releases and instances of what ended before then, but for the newest `keep` of each pair."""
        ...

    async def add_release(self, release: Release) -> None:
        """Inserts a release; harmless when it is there."""
        ...

    async def release(self, deployment_id: str) -> Release:
        """A deployment's release; NotFound when it has none yet."""
        ...

    async def add_instance(self, instance: Instance) -> None:
        """Inserts an instance; harmless when its replica has a wanted one already."""
        ...

    async def save_instance(self, instance: Instance) -> None:
        """Writes what is known of an instance."""
        ...

    async def instances(self, deployment_ids: Sequence[str], *, exited: bool = False) -> list[Instance]:
        """Instances of these deployments; those that exited only when asked for."""
        ...

    async def instances_in(self, states: Sequence[InstanceState]) -> list[Instance]:
        """All instances in these states."""
        ...

    async def instance(self, instance_id: str) -> Instance:
        """One instance; NotFound when there is none."""
        ...

    async def artifacts_in_use(self, keep_count: int, since: datetime) -> list[ArtifactInUse]:
        """What is not final, has instances, or can be rolled back to: so many a pair that were live, or since then."""
        ...

    async def route(self, pair: str) -> Route:
        """What the edge was last told for a pair."""
        ...

    async def save_route(self, pair: str, route: Route) -> None:
        """Writes down what the edge has accepted."""
        ...


@dataclass(frozen=True, slots=True)
class LogRecord:
    """A line of output."""

    deployment_id: str
    service_id: str
    environment_id: str
    instance_id: str
    replica: int
    stream: str
    text: str
    time: datetime
    cursor: int = 0


class Logs(Protocol):
    """The log of every service."""

    async def append(self, records: Sequence[LogRecord], instance_id: str, offset: int) -> None:
        """Stores lines, and how far the instance's output has been read, in one transaction; wakes followers."""
        ...

    async def read(self, wanted: LogQuery, limit: int) -> list[LogRecord]:
        """Lines after a cursor, in order."""
        ...

    async def tail(self, wanted: LogQuery, lines: int) -> list[LogRecord]:
        """The last lines, in order."""
        ...

    async def changed(self, seconds: float) -> None:
        """Returns when a line was stored, or after so many seconds."""
        ...


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Whose lines."""

    service_id: str = ""
    environment_id: str = ""
    deployment_id: str = ""
    after: int = 0


@dataclass(frozen=True, slots=True)
class Service:
    """A service as project knows it, in one environment."""

    id: str
    name: str
    workspace_id: str
    project_id: str
    environment_id: str
    environment_name: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class Variables:
    """Rendered variables of a service."""

    values: Mapping[str, str]
    version: int
    secret_names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a service's source comes from when nothing is uploaded; all empty: from nowhere."""

    git_url: str = ""
    branch: str = ""
    image: str = ""


class Projects(Protocol):
    """The project service."""

    async def source(self, ctx: Ctx, service_id: str, environment_id: str) -> Source:
        """What is set as a service's source in an environment."""
        ...

    async def service(self, ctx: Ctx, *, service_id: str = "", environment_id: str = "", name: str = "") -> Service:
        """A service by id, or by name in an environment; NotFound when it is not the caller's."""
        ...

    async def allow(self, ctx: Ctx, *, service_id: str, environment_id: str, project_id: str) -> None:
        """Passes when every id given is of something the caller may see, and they belong together; NotFound else."""
        ...

    async def render(self, ctx: Ctx, service_id: str, environment_id: str, deployment_id: str) -> Variables:
        """Everything an instance gets. Invalid for an unknown reference or a cycle."""
        ...


class Builds(Protocol):
    """The build service."""

    async def snapshot_service(self, ctx: Ctx, snapshot_id: str) -> str:
        """The service a snapshot was uploaded for; NotFound when it is not the caller's."""
        ...

    async def artifact(self, ctx: Ctx, digest: str) -> Artifact:
        """What a runtime needs to start it; NotFound when it is gone."""
        ...


class Edge(Protocol):
    """The router."""

    async def claim(self, ctx: Ctx, service: Service) -> str:
        """The service's URL; the same every time."""
        ...

    async def publish(
        self, ctx: Ctx, pair: str, endpoints: Sequence[Endpoint], generation: int, deployment_id: str
    ) -> None:
        """Returns when every edge sends new requests there; Unavailable: try again.

        Conflict: a later generation is published, or an edge refuses it.
        """
        ...

    async def generation(self, ctx: Ctx, pair: str) -> int:
        """The generation that is published for a pair; 0: none ever was."""
        ...

    async def in_flight(self, ctx: Ctx, pair: str) -> int:
        """Requests that endpoints which have left still hold."""
        ...


class Keyring(Protocol):
    """Seals what is secret at rest."""

    async def seal(self, plain: bytes, context: str) -> bytes:
        """Encrypts; `context` must be given again to open it."""
        ...

    async def open(self, sealed: bytes, context: str) -> bytes:
        """Decrypts; Invalid when it was not sealed so."""
        ...


class Probe(Protocol):
    """Looks at an instance's health."""

    async def __call__(self, port: int, path: str | None) -> Check:
        """Healthy when the port accepts a connection, or the path answers 200."""
        ...

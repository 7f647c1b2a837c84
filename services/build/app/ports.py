"""What the use cases need of the world."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from libs.kernel.context import Ctx
from libs.plans.plan import BuildPlan, PlanSettings
from services.build.domain.facts import BuildFact
from services.build.domain.model import Artifact, Build, BuildState, Layer, LogLine, Snapshot
from services.build.domain.queue import Waiting
from services.build.domain.stages import Stage


class Work(Protocol):
    """Opens a transaction; joins the one already open in this task."""

    def __call__(self) -> AbstractAsyncContextManager[object]:
        """What happens inside happens together or not at all."""
        ...


class Facts(Protocol):
    """Where facts are written down, in the transaction of their change."""

    async def record(self, fact: BuildFact) -> None:
        """Writes one fact."""
        ...


class Snapshots(Protocol):
    """Source archives that were accepted. `workspaces` is the tenant clause; None means all."""

    async def add(self, snapshot: Snapshot, project_id: str) -> None:
        """Keeps one."""
        ...

    async def get(self, snapshot_id: str, workspaces: Sequence[str] | None) -> tuple[Snapshot, str] | None:
        """One, with the project it belongs to."""
        ...


@dataclass(frozen=True, slots=True)
class Lease:
    """A process's right to work on a build; a new one for each attempt."""

    build_id: str
    # Names the process.
    owner: str
    # Number of the attempt: one process never confuses two of its own.
    attempt: int


class Builds(Protocol):
    """All builds. `workspaces` is the tenant clause; None means all."""

    async def add(self, build: Build) -> bool:
        """Queues one; False when its deployment has one already."""
        ...

    async def get(self, build_id: str, workspaces: Sequence[str] | None) -> Build | None:
        """One by its id."""
        ...

    async def of_deployment(self, deployment_id: str, workspaces: Sequence[str] | None) -> Build | None:
        """One by its deployment."""
        ...

    async def of_deployments(self, deployment_ids: Sequence[str], workspaces: Sequence[str] | None) -> list[Build]:
        """Those of these deployments, newest first."""
        ...

    async def reusable(self, workspace_id: str, inputs: str) -> Build | None:
        """The newest successful one of the workspace with these inputs."""
        ...

    async def of_artifact(self, digest: str, workspaces: Sequence[str] | None) -> list[Build]:
        """Successful ones that made this artifact, newest first; at most a hundred."""
        ...

    async def waiting(self, now: datetime) -> list[Waiting]:
        """Builds that could begin, oldest first: queued, or begun by a process whose lease ran out."""
        ...

    async def running(self, now: datetime) -> list[Waiting]:
        """Builds under way."""
        ...

    async def claim(self, build_id: str, owner: str, now: datetime, until: datetime) -> Build | None:
        """Begins it, or begins it again, and gives it with its new attempt; None when it is not to be had."""
        ...

    async def renew(self, lease: Lease, until: datetime) -> bool:
        """Keeps the lease; False when it is lost: cancelled, or taken by another."""
        ...

    async def holds(self, lease: Lease) -> bool:
        """Whether the lease is still good."""
        ...

    async def give_up(self, build_id: str, most: int, now: datetime, reason: str) -> Build | None:
        """Ends a build whose process just died for the `most`th time, and gives it; None when it is not like that."""
        ...

    async def release(self, lease: Lease, now: datetime) -> None:
        """Gives the build back: another may begin it at once. Harmless when the lease is lost."""
        ...

    async def planned(self, lease: Lease, plan: BuildPlan) -> None:
        """Notes what will be done."""
        ...

    async def fetched(self, lease: Lease, snapshot_id: str) -> bool:
        """Notes the source it was fetched as; False when the lease is lost."""
        ...

    async def staged(self, lease: Lease, stages: Sequence[Stage]) -> None:
        """Notes how far it is; nothing when the lease is lost."""
        ...

    async def finish(
        self,
        lease: Lease,
        state: BuildState,
        now: datetime,
        *,
        reason: str = "",
        artifact_digest: str = "",
        provenance_digest: str = "",
        inputs: str = "",
    ) -> bool:
        """Ends it; False when the lease is lost, and nothing changed."""
        ...

    async def cancel(self, build_id: str, now: datetime, reason: str) -> bool:
        """Ends it whoever works on it; False when it had ended."""
        ...

    async def held(self, build_id: str, why: str) -> bool:
        """Notes why a queued build waits; False when it is not queued any more."""
        ...

    async def tired(self, build_ids: Sequence[str], now: datetime, why: str) -> list[Build]:
        """Ends as failed those that are queued still, and gives them; the reason adds what each waited for."""
        ...

    async def supersede(
        self, deployment_id: str, service_id: str, environment_id: str, now: datetime, reason: str
    ) -> list[Build]:
        """Cancels what is queued for older deployments of the pair, and gives it; nothing that was ever begun."""
        ...

    async def retire(self, service_id: str, now: datetime) -> None:
        """Notes that the service is gone: its builds and sources are kept for nobody. Harmless when repeated."""
        ...


class Log(Protocol):
    """Lines of builds."""

    async def last(self, build_id: str) -> int:
        """Number of the last line; 0 when there is none."""
        ...

    async def append(self, lease: Lease, lines: Sequence[LogLine]) -> bool:
        """Keeps lines, each number once; False when the lease is lost and nothing was kept."""
        ...

    async def note(self, build_id: str, time: datetime, text: str) -> None:
        """Adds a line of the platform's to a build that is queued; nothing when it is not."""
        ...

    async def close(self, build: Build, time: datetime, text: str) -> None:
        """Adds the platform's last word after all other lines, to the stage that the build was at."""
        ...

    async def read(self, build_id: str, after: int, limit: int) -> list[LogLine]:
        """Lines with number > after, in order."""
        ...


class Artifacts(Protocol):
    """What builds made."""

    async def add(self, artifact: Artifact, workspace_id: str, now: datetime, provenance_digest: str = "") -> None:
        """Keeps one; one that is there is noted as used now, and gets the new provenance."""
        ...

    async def provenance(self, digest: str) -> str:
        """Digest of the envelope about it; empty when there is none."""
        ...

    async def get(self, digest: str, now: datetime) -> Artifact | None:
        """One by its digest; notes that it was used."""
        ...


@dataclass(frozen=True, slots=True)
class Freed:
    """How many things were removed, and their bytes."""

    count: int = 0
    bytes: int = 0

    def __add__(self, other: Freed) -> Freed:
        """Both together."""
        return Freed(self.count + other.count, self.bytes + other.bytes)


@dataclass(frozen=True, slots=True)
class KeptLayer:
    """Installed dependencies that the next build with the same inputs takes over."""

    layer: Layer
    # The service whose build used it last.
    service_id: str
    used_at: datetime


class DependencyLayers(Protocol):
    """Layers of installed dependencies, kept per workspace so that none can poison another's."""

    async def find(self, workspace_id: str, key: str, now: datetime, service_id: str = "") -> Layer | None:
        """The layer for this key; notes that the service used it."""
        ...

    async def keep(self, workspace_id: str, key: str, layer: Layer, now: datetime, service_id: str = "") -> None:
        """Remembers it; a key already there gets the new layer."""
        ...


class KeptLayers(Protocol):
    """The same layers, as people look at them."""

    async def of_workspace(self, workspace_id: str, service_id: str) -> list[KeptLayer]:
        """All that may be found, of one service when it is named; the one used last first."""
        ...

    async def clear(self, workspace_id: str, service_id: str, now: datetime) -> Freed:
        """Lets none of them be found again. Their bytes go later: a build that found one may still be at it."""
        ...


class Archives(Protocol):
    """The way in for source archives."""

    async def receive(self, chunks: AsyncIterator[bytes]) -> tuple[str, int]:
        """Stores an archive and gives digest and size in bytes.

        Exhausted when it is too large, Invalid when it is empty, no archive, or holds what no archive may.
        """
        ...


@dataclass(frozen=True, slots=True)
class ServiceRef:
    """A service that a caller may see."""

    id: str
    workspace_id: str
    project_id: str


@dataclass(frozen=True, slots=True)
class Variables:
    """What a build gets as environment."""

    values: Mapping[str, str] = field(default_factory=dict)
    # Values that no log may show.
    secrets: frozenset[str] = frozenset()


class Projects(Protocol):
    """What project knows."""

    async def service(self, ctx: Ctx, service_id: str) -> ServiceRef:
        """The service as the caller sees it; NotFound when it is not the caller's."""
        ...

    async def settings(self, build: Build) -> PlanSettings:
        """The service's settings that concern builds."""
        ...

    async def variables(self, build: Build) -> Variables:
        """The rendered variables, sealed ones included."""
        ...


class Output(Protocol):
    """Where a build's words go."""

    async def say(self, step: str, text: str) -> None:
        """One line of the platform's own."""
        ...

    async def chunk(self, step: str, stream: str, data: bytes) -> None:
        """Output of a program as it comes."""
        ...

    async def flush(self, step: str) -> None:
        """The step's programs have ended: what they left without a line's end is a line."""
        ...

    def recent(self, step: str) -> list[str]:
        """The last lines of a step, as they were kept."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """All that a builder needs to know."""

    build: Build
    snapshot_digest: str
    variables: Variables
    # Around times that the build waits for others: they do not count.
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext

    @property
    def fresh(self) -> bool:
        """Whether the build takes nothing over from earlier ones: the variable NO_CACHE says so."""
        return self.variables.values.get("NO_CACHE", "").strip().lower() not in {"", "0", "false", "no"}


class Whose(Protocol):
    """Whom deployments belong to, as deploy says to this caller."""

    async def check(self, ctx: Ctx, deployment_id: str) -> None:
        """Passes when the deployment is the caller's to see; NotFound otherwise."""
        ...


@dataclass(frozen=True, slots=True)
class Cache:
    """Downloads that one tool keeps for one workspace."""

    workspace_id: str
    name: str
    size_bytes: int
    used_at: datetime


class Caches(Protocol):
    """The tools' caches, and uploads that were cut off."""

    async def measure(self) -> list[Cache]:
        """All of them."""
        ...

    async def of_workspace(self, workspace_id: str) -> list[Cache]:
        """Those of one workspace, the one used last first."""
        ...

    async def remove(self, cache: Cache) -> bool:
        """Removes one; False when a build is using it. Harmless when it is gone."""
        ...

    async def drop_cut_off(self, before: datetime, *, dry_run: bool = False) -> Freed:
        """Removes what uploads left that nobody has written to since then."""
        ...

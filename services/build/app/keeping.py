"""The ports of a collection: what others need, and what may go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.build.app.ports import Cache, Freed


@dataclass(frozen=True, slots=True)
class Needed:
    """What a deployment may still start from; artifact or source may be empty."""

    artifact_digest: str
    snapshot_id: str
    service_id: str
    # Something runs or is on its way; otherwise it is only kept for a rollback.
    running: bool


class Deployments(Protocol):
    """What deploy knows."""

    async def needed(self, keep_count: int, since: datetime) -> list[Needed]:
        """Everything that may still be started. Unavailable when deploy cannot be asked: then nothing may go."""
        ...


@dataclass(frozen=True, slots=True)
class Keep:
    """What stays, for one collection."""

    needed: Sequence[Needed]
    # Successful builds kept per service and environment, and since when all are.
    count: int
    since: datetime
    logs_since: datetime
    # What was used since then may be part of something under way.
    touched_since: datetime
    # No build under way began before then.
    begun_since: datetime
    # Sources uploaded since then may yet be deployed for the first time.
    uploaded_since: datetime
    layers_since: datetime


class Garbage(Protocol):
    """Rows that may go: each removes one batch and says how many rows went; 0 when nothing is left to remove."""

    async def logs(self, keep: Keep) -> int:
        """Lines of logs."""
        ...

    async def builds(self, keep: Keep) -> int:
        """Builds, after their logs."""
        ...

    async def artifacts(self, keep: Keep) -> int:
        """Artifacts."""
        ...

    async def snapshots(self, keep: Keep) -> int:
        """Sources."""
        ...

    async def layers(self, keep: Keep) -> int:
        """Layers of dependencies."""
        ...

    async def services(self, keep: Keep) -> int:
        """Notes of deleted services of which nothing is left."""
        ...

    async def references(self) -> set[str]:
        """Digests of all blobs that a row speaks of, artifacts' own included."""
        ...

    async def holders(self) -> set[str]:
        """What an image stays for: ids of all builds, and references of images that artifacts consist of."""
        ...

    async def began(self) -> datetime:
        """When these tables were made: no row of theirs can have spoken of what is older."""
        ...


class Sweeping(Protocol):
    """Blobs that may go."""

    async def sweep(self, keep: Collection[str], since: datetime, before: datetime, *, dry_run: bool = False) -> Freed:
        """Removes blobs stored between the two that are not to be kept; what is stored meanwhile is never lost."""
        ...


@dataclass(frozen=True, slots=True)
class DiskUse:
    """The disk that everything lies on, in bytes."""

    total: int
    free: int


class Disk(Protocol):
    """The machine's disk."""

    async def use(self) -> DiskUse:
        """How full it is."""
        ...


@dataclass(frozen=True, slots=True)
class Collected:
    """What of one kind went, and why."""

    what: str
    freed: Freed
    why: str


@dataclass(frozen=True, slots=True)
class Told:
    """A collection as people are told of it."""

    at: datetime
    items: tuple[Collected, ...]
    disk: DiskUse
    dry_run: bool = False
    pressed: bool = False
    unknown: tuple[str, ...] = ()


class Reports(Protocol):
    """The report of the last collection."""

    async def save(self, told: Told) -> None:
        """Keeps it in place of the one before."""
        ...

    async def last(self) -> Told | None:
        """The last one; None before the first."""
        ...


@dataclass(frozen=True, slots=True)
class MadeImage:
    """An image of this platform's own on this machine."""

    id: str
    # All of its names; what was only a stage on the way has none.
    names: tuple[str, ...]
    build_id: str
    created_at: datetime
    size_bytes: int


class Images(Protocol):
    """One store of images. Of what bears no label of this platform it knows nothing."""

    async def made(self) -> list[MadeImage]:
        """Every image of this platform's; none when the store is away, which the next collection looks at again."""
        ...

    async def remove(self, image: MadeImage) -> None:
        """Removes it under all of its names; harmless when it is gone or in use."""
        ...


class BuilderCaches(Protocol):
    """What a builder of images keeps for the next build; of what is not this platform's alone it knows nothing."""

    async def measure(self) -> list[Cache]:
        """All of them, each with what is free once it and all less recently used ones have gone."""
        ...

    async def remove(self, cache: Cache) -> bool:
        """Removes one; False while a build may be using it. Harmless when it is gone."""
        ...

"""Removes what nobody needs any more: rows first, then blobs that no row speaks of, then caches over their cap."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from libs.kernel.clock import Clock
from services.build.app.keeping import Deployments, Garbage, Keep, Sweeping
from services.build.app.ports import Builds, Cache, Caches, Freed

# What was touched this long ago may be part of a build or an upload that is under way.
GRACE: Final = timedelta(hours=1)
# A source that was never deployed.
UNDEPLOYED: Final = timedelta(days=1)
# Dependencies that no build has used.
UNUSED_LAYERS: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Window:
    """What an operator wants kept: successful builds per service and environment, days of builds, days of logs."""

    count: int = 10
    days: int = 14
    log_days: int = 30
    # All tools' caches together, in bytes.
    cache_bytes: int = 5 * 1024**3
    # How long a build may take, in seconds: its blobs wait so long for their row.
    deadline: float = 20 * 60.0


@dataclass(frozen=True, slots=True)
class Report:
    """What one collection removed."""

    log_lines: int = 0
    builds: int = 0
    artifacts: int = 0
    snapshots: int = 0
    layers: int = 0
    services: int = 0
    blobs: Freed = field(default_factory=Freed)
    caches: Freed = field(default_factory=Freed)
    uploads: Freed = field(default_factory=Freed)
    # Artifacts that deploy runs and build does not know; while there are any, no blob is removed.
    unknown: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return self.log_lines + self.builds + self.artifacts + self.snapshots + self.layers + self.services

    @property
    def files(self) -> Freed:
        """Everything removed from the disk."""
        return self.blobs + self.caches + self.uploads


@dataclass(frozen=True, slots=True)
class Collector:
    """Use case of the collect loop. Ended anywhere, the next one goes on: a blob goes after the rows that name it."""

    garbage: Garbage
    deployments: Deployments
    blobs: Sweeping
    caches: Caches
    builds: Builds
    clock: Clock
    window: Window

    async def collect(self) -> Report:
        """Removes all that may go. Unavailable, and nothing removed, when deploy cannot say what it needs."""
        keep = await self._keep()
        log_lines = await _all(self.garbage.logs, keep)
        builds = await _all(self.garbage.builds, keep)
        artifacts = await _all(self.garbage.artifacts, keep)
        snapshots = await _all(self.garbage.snapshots, keep)
        layers = await _all(self.garbage.layers, keep)
        services = await _all(self.garbage.services, keep)
        marked = await self.garbage.references()
        # Deploy runs what build does not know: one of them lost data, and a blob may be needed that no row speaks of.
        unknown = {one.artifact_digest for one in keep.needed if one.running and one.artifact_digest} - marked
        return Report(
            log_lines=log_lines,
            builds=builds,
            artifacts=artifacts,
            snapshots=snapshots,
            layers=layers,
            services=services,
            caches=await self._trim(),
            uploads=await self.caches.drop_cut_off(keep.uploaded_since),
            blobs=Freed() if unknown else await self._sweep(marked),
            unknown=tuple(sorted(unknown)),
        )

    async def _keep(self) -> Keep:
        now, window = self.clock.now(), self.window
        since = now - timedelta(days=window.days)
        return Keep(
            needed=await self.deployments.needed(window.count, since),
            count=window.count,
            since=since,
            logs_since=now - timedelta(days=window.log_days),
            touched_since=now - GRACE,
            begun_since=now - GRACE - timedelta(seconds=window.deadline),
            uploaded_since=now - UNDEPLOYED,
            layers_since=now - UNUSED_LAYERS,
        )

    async def _sweep(self, marked: set[str]) -> Freed:
        # Blobs older than the tables are another database's, which may be about to be restored.
        since = await self.garbage.began()
        under_way = GRACE + timedelta(seconds=self.window.deadline)
        return await self.blobs.sweep(marked, since, self.clock.now() - under_way)

    async def _trim(self) -> Freed:
        freed = Freed()
        for cache in over(await self.caches.measure(), self.window.cache_bytes):
            # One that a build is using stays until the next collection.
            if await self.caches.remove(cache):
                freed += Freed(1, cache.size_bytes)
        return freed


def over(caches: Iterable[Cache], most: int) -> list[Cache]:
    """Those that have to go so that the rest takes at most `most` bytes, the least recently used first."""
    ordered = sorted(caches, key=lambda cache: (cache.used_at, cache.workspace_id, cache.name))
    total = sum(cache.size_bytes for cache in ordered)
    gone = []
    for cache in ordered:
        if total <= most:
            break
        gone.append(cache)
        total -= cache.size_bytes
    return gone


async def _all(remove: Callable[[Keep], Awaitable[int]], keep: Keep) -> int:
    total = 0
    while removed := await remove(keep):
        total += removed
    return total

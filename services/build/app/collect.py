"""Removes what nobody needs any more: rows first, then blobs that no row speaks of, then caches over their cap."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.errors import NotFound
from libs.kernel.units import GIB
from services.build.app.keeping import (
    BuilderCaches,
    Collected,
    Deployments,
    Disk,
    DiskUse,
    Garbage,
    Images,
    Keep,
    Reports,
    Sweeping,
    Told,
)
from services.build.app.ports import Cache, Caches, Freed, Work

# What was touched this long ago may be part of a build or an upload that is under way.
GRACE: Final = timedelta(hours=1)
# A source that was never deployed.
UNDEPLOYED: Final = timedelta(days=1)
# With so much free, in bytes, no disk is too full, however large a part of it is used.
ROOMY: Final = 20 * GIB
# Dependencies that no build has used.
UNUSED_LAYERS: Final = timedelta(days=14)


@dataclass(frozen=True, slots=True)
class Window:
    """What an operator wants kept: successful builds per service and environment, days of builds, days of logs."""

    count: int = 10
    days: int = 14
    log_days: int = 30
    # All caches together, those of tools and of builders of images, in bytes.
    cache_bytes: int = 5 * 1024**3
    # How long a build may take, in seconds: its blobs wait so long for their row.
    deadline: float = 20 * 60.0
    # Of the disk: above the one more goes than usual, until it is below the other.
    high_percent: int = 90
    low_percent: int = 80


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
    images: Freed = field(default_factory=Freed)
    caches: Freed = field(default_factory=Freed)
    built: Freed = field(default_factory=Freed)
    uploads: Freed = field(default_factory=Freed)
    # Artifacts that deploy runs and build does not know; while there are any, no blob is removed.
    unknown: tuple[str, ...] = ()
    # Whether the disk was above its high watermark, and how full it is now.
    pressed: bool = False
    disk: DiskUse = field(default_factory=lambda: DiskUse(0, 0))

    def __add__(self, other: Report) -> Report:
        """Both rounds of one collection."""
        counted = [one.name for one in fields(self) if one.name not in {"unknown", "pressed", "disk"}]
        sums = {name: getattr(self, name) + getattr(other, name) for name in counted}
        return replace(other, **sums)

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return self.log_lines + self.builds + self.artifacts + self.snapshots + self.layers + self.services

    @property
    def files(self) -> Freed:
        """Everything removed from the disk."""
        return self.blobs + self.images + self.caches + self.built + self.uploads


class _RehearsedError(Exception):
    """Rolls a rehearsal back."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Use case of the collect loop. Ended anywhere, the next one goes on: a blob goes after the rows that name it."""

    work: Work
    garbage: Garbage
    deployments: Deployments
    blobs: Sweeping
    caches: Caches
    reports: Reports
    disk: Disk
    clock: Clock
    window: Window
    images: Sequence[Images] = ()
    builders: Sequence[BuilderCaches] = ()
    # One at a time, whoever asks.
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def last(self) -> Told:
        """The report of the last collection. NotFound before the first."""
        found = await self.reports.last()
        if found is None:
            raise NotFound("Nothing was collected yet.", hint="The first collection comes soon after the start.")
        return found

    async def collect(self, *, dry_run: bool = False) -> Report:
        """Removes all that may go, or says what would. Unavailable, and nothing removed, when deploy cannot be asked.

        Above the disk's high watermark more goes, until it is below the low one: caches, then what is only kept for
        some days. Never what runs, nor what the newest builds of a service made.
        """
        async with self._turn:
            before = await self.disk.use()
            report = await self._round(self.window.days, self.window.cache_bytes, dry_run=dry_run)
            surplus = self._surplus(before)
            if surplus > report.files.bytes:
                report = await self._harder(report, surplus, dry_run=dry_run)
            report = replace(report, pressed=surplus > 0, disk=await self.disk.use())
            if not dry_run:
                await self.reports.save(self.told(report))
            return report

    def told(self, report: Report, *, dry_run: bool = False) -> Told:
        """The report as people read it."""
        return Told(
            self.clock.now(), explained(report, self.window), report.disk, dry_run, report.pressed, report.unknown
        )

    def _surplus(self, disk: DiskUse) -> int:
        """Bytes above the low watermark, once the high one is passed."""
        used, low = disk.total - disk.free, disk.total * self.window.low_percent // 100
        high = used * 100 > disk.total * self.window.high_percent and disk.free < ROOMY
        return used - low if high else 0

    async def _harder(self, done: Report, surplus: int, *, dry_run: bool) -> Report:
        """Goes on until as much as is too much has gone; a rehearsal's rounds each count everything anew."""
        kept = sum(cache.size_bytes for cache, _ in await self._caches())
        missing = surplus - done.files.bytes + (done.caches.bytes + done.built.bytes if dry_run else 0)
        most = max(0, kept - missing)
        if kept < missing:
            # All caches are not enough: what is kept for days, and not for rollbacks, goes too.
            found = await self._round(0, most, dry_run=dry_run)
        else:
            found = await self._round(self.window.days, most, dry_run=dry_run)
        return found if dry_run else done + found

    async def _round(self, days: int, cache_bytes: int, *, dry_run: bool) -> Report:
        keep = await self._keep(days)
        rows, marked, held = await (self._rehearsed(keep) if dry_run else self._rows(keep))
        # Deploy runs what build does not know: one of them lost data, and a blob may be needed that no row speaks of.
        unknown = {one.artifact_digest for one in keep.needed if one.running and one.artifact_digest} - marked
        caches, built = await self._trim(cache_bytes, dry_run=dry_run)
        return replace(
            rows,
            caches=caches,
            built=built,
            uploads=await self.caches.drop_cut_off(keep.uploaded_since, dry_run=dry_run),
            blobs=Freed() if unknown else await self._sweep(marked, dry_run=dry_run),
            images=Freed() if unknown else await self._drop_images(held, dry_run=dry_run),
            unknown=tuple(sorted(unknown)),
        )

    async def _rows(self, keep: Keep) -> tuple[Report, set[str], set[str]]:
        rows = Report(
            log_lines=await _all(self.garbage.logs, keep),
            builds=await _all(self.garbage.builds, keep),
            artifacts=await _all(self.garbage.artifacts, keep),
            snapshots=await _all(self.garbage.snapshots, keep),
            layers=await _all(self.garbage.layers, keep),
            services=await _all(self.garbage.services, keep),
        )
        return rows, await self.garbage.references(), await self.garbage.holders()

    async def _rehearsed(self, keep: Keep) -> tuple[Report, set[str], set[str]]:
        """What would go and what would be left, seen in a transaction that is rolled back."""
        found: tuple[Report, set[str], set[str]] = (Report(), set(), set())
        with suppress(_RehearsedError):
            async with self.work():
                found = await self._rows(keep)
                raise _RehearsedError
        return found

    async def _keep(self, days: int) -> Keep:
        now, window = self.clock.now(), self.window
        begun = now - GRACE - timedelta(seconds=window.deadline)
        since = now - timedelta(days=days) if days else begun
        return Keep(
            needed=await self.deployments.needed(window.count, since),
            count=window.count,
            since=since,
            logs_since=now - timedelta(days=window.log_days),
            touched_since=now - GRACE,
            begun_since=begun,
            uploaded_since=now - UNDEPLOYED,
            layers_since=now - UNUSED_LAYERS if days or not window.days else begun,
        )

    async def _sweep(self, marked: set[str], *, dry_run: bool) -> Freed:
        # Blobs older than the tables are another database's, which may be about to be restored.
        since = await self.garbage.began()
        under_way = GRACE + timedelta(seconds=self.window.deadline)
        return await self.blobs.sweep(marked, since, self.clock.now() - under_way, dry_run=dry_run)

    async def _drop_images(self, held: set[str], *, dry_run: bool) -> Freed:
        """Removes images whose build is forgotten and that no artifact consists of."""
        freed, since = Freed(), await self.garbage.began()
        before = self.clock.now() - GRACE - timedelta(seconds=self.window.deadline)
        for store in self.images:
            for image in await store.made():
                # Images older than the tables are another database's, which may be about to be restored.
                if since <= image.created_at < before and not held & {image.build_id, *image.names}:
                    if not dry_run:
                        await store.remove(image)
                    freed += Freed(1, image.size_bytes)
        return freed

    async def _trim(self, most: int, *, dry_run: bool) -> tuple[Freed, Freed]:
        """What went of tools' caches, and of builders': of all together the least recently used."""
        keepers = await self._caches()
        tools, built = Freed(), Freed()
        for cache in over((one for one, _ in keepers), most):
            keeper = next(keeper for one, keeper in keepers if one is cache)
            # One that a build is using stays until the next collection.
            if dry_run or await keeper.remove(cache):
                tools += Freed(1, cache.size_bytes) if keeper is self.caches else Freed()
                built += Freed(1, cache.size_bytes) if keeper is not self.caches else Freed()
        return tools, built

    async def _caches(self) -> list[tuple[Cache, BuilderCaches]]:
        """Every cache with who keeps it."""
        keepers: tuple[BuilderCaches, ...] = (self.caches, *self.builders)
        return [(cache, keeper) for keeper in keepers for cache in await keeper.measure()]


def explained(report: Report, window: Window) -> tuple[Collected, ...]:
    """What went of each kind and why; what nothing went of is left out."""
    kept = f"not among the newest {window.count} successful builds of a service, older than {window.days} days"
    pressed = ", or the disk is too full" if report.pressed else ""
    rows = (
        ("log lines", Freed(report.log_lines), f"of builds that ended more than {window.log_days} days ago"),
        ("builds", Freed(report.builds), kept + pressed),
        ("artifacts", Freed(report.artifacts), "nothing runs them, and no rollback can"),
        ("sources", Freed(report.snapshots), "nothing will build them (again)"),
        ("dependencies", Freed(report.layers), f"cleared, or not used for {UNUSED_LAYERS.days} days{pressed}"),
        ("deleted services", Freed(report.services), "nothing is left of them"),
        ("blobs", report.blobs, "no source, artifact or dependency is made of them"),
        ("images", report.images, "their builds are forgotten, and no artifact consists of them"),
        ("downloads", report.caches, f"caches of tools above their cap, least recently used first{pressed}"),
        ("image layers", report.built, f"kept by builders of images, above the cap as well{pressed}"),
        ("uploads", report.uploads, "cut off more than a day ago"),
    )
    return tuple(Collected(*row) for row in rows if row[1].count)


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

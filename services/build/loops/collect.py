"""Collects what nobody needs any more, every few minutes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter

from libs.reconcile import Done, Outcome
from libs.telemetry import get_logger
from services.build.app.collect import Collector

FREED: Final = Counter("lightrail_build_freed_bytes_total", "Bytes that collections removed from the disk.")
EVERYTHING: Final = "everything"


class CollectLoop:
    """One step is a whole collection, safe to repeat and to be cut off; run under the service's lease."""

    name = "collect"

    def __init__(self, collector: Collector, *, period: float) -> None:
        self.period = period
        self._collector = collector
        self._log = get_logger("loop/collect")

    async def due(self) -> Sequence[str]:
        """Always all of it."""
        return [EVERYTHING]

    async def step(self, key: str) -> Outcome:
        """Collects, and says what went."""
        report = await self._collector.collect()
        files = report.files
        FREED.inc(files.bytes)
        if report.unknown:
            self._log.warning(
                "artifacts.unknown",
                count=len(report.unknown),
                first=report.unknown[0],
                hint="Deploy runs what build has no record of, so no blob is removed. Restore the databases of both"
                " from one backup, or deploy those services again.",
            )
        say = self._log.info if report.rows or files.count else self._log.debug
        say(
            "garbage.collected",
            what=key,
            rows=report.rows,
            builds=report.builds,
            log_lines=report.log_lines,
            artifacts=report.artifacts,
            snapshots=report.snapshots,
            layers=report.layers,
            blobs=report.blobs.count,
            images=report.images.count,
            caches=report.caches.count,
            built=report.built.count,
            uploads=report.uploads.count,
            bytes=files.bytes,
        )
        return Done()

"""Takes builds from the queue, a few at a time, workspaces in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from prometheus_client import Histogram

from libs.reconcile import Done, Outcome
from libs.telemetry import get_logger
from services.build.app.queue import Queue
from services.build.app.run import BuildRunner

SECONDS: Final = Histogram(
    "lightrail_build_seconds",
    "Time of builds by how they ended.",
    ["how"],
    buckets=(0.1, 0.3, 1, 3, 10, 30, 100, 300, 1200),
)


class BuildLoop:
    """Looks for builds that could begin; a step is a whole build, safe to repeat from its beginning."""

    name = "builds"
    period = 2.0

    def __init__(self, queue: Queue, runner: BuildRunner) -> None:
        self._queue = queue
        self._runner = runner
        self._log = get_logger("loop/builds")
        self._here: set[str] = set()
        # Called when a build has ended and there is room for the next.
        self.freed: Callable[[], None] = _nobody

    async def due(self) -> Sequence[str]:
        """The next builds, as many as there is room for: who is next is decided when there is room, not before."""
        return await self._queue.next(self._here)

    async def step(self, key: str) -> Outcome:
        """Runs the build to its end."""
        self._here.add(key)
        try:
            ended = await self._runner.run(key)
            if ended:
                SECONDS.labels(ended.how).observe(ended.seconds)
                self._log.info("build.ended", build=key, how=ended.how, seconds=round(ended.seconds, 3))
        finally:
            self._here.discard(key)
            self.freed()
        return Done()


def _nobody() -> None:
    """Who is not told looks again after the loop's period."""

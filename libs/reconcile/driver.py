"""Runs a reconciler: woken or by its period, one step of a key at a time, with back-off."""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import Counter

from libs.kernel.clock import Clock
from libs.kernel.errors import Failure
from libs.reconcile.reconciler import Again, Reconciler
from libs.telemetry import get_logger, span

FIRST_BACKOFF: Final = 0.1
LAST_BACKOFF: Final = 30.0
STEPS: Final = Counter("lightrail_loop_steps_total", "Steps of the loops.", ["loop", "outcome"])


class Driver:
    """Drives one reconciler until cancelled."""

    def __init__(self, reconciler: Reconciler, clock: Clock, *, concurrency: int = 8) -> None:
        self._reconciler = reconciler
        self._clock = clock
        self._log = get_logger(f"loop/{reconciler.name}")
        self._woken = asyncio.Event()
        self._slots = asyncio.Semaphore(concurrency)
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}

    def wake(self, key: str | None = None) -> None:
        """Asks for a look now; with a key that is being worked on, for one more step of it."""
        if key is not None and key in self._busy:
            self._again.add(key)
        self._woken.set()

    async def run(self) -> None:
        """Looks and works for ever. Being cancelled cancels the steps under way."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                for key in await self._look():
                    if key not in self._busy:
                        self._busy.add(key)
                        group.create_task(self._work(key), name=f"{self._reconciler.name}:{key}")
                try:
                    async with asyncio.timeout(self._reconciler.period):
                        await self._woken.wait()
                except TimeoutError:
                    continue

    async def _look(self) -> list[str]:
        try:
            found = list(await self._reconciler.due())
        except Exception as error:  # noqa: BLE001 - a loop outlives what it looks at; the fault is logged and looked at again
            STEPS.labels(self._reconciler.name, "look_failed").inc()
            self._log.warning("look.failed", error=str(error), exc_info=not isinstance(error, Failure))
            await self._clock.sleep(min(LAST_BACKOFF, 1.0))
            return []
        return found

    async def _work(self, key: str) -> None:
        try:
            async with self._slots:
                while True:
                    self._again.discard(key)
                    after = await self._step(key)
                    if after is None and key not in self._again:
                        return
                    if after and key not in self._again:
                        await self._pause(key, after)
        finally:
            self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self._woken.set()

    async def _pause(self, key: str, seconds: float) -> None:
        """Waits, but not past a wake of this key."""
        async with asyncio.TaskGroup() as group:
            nap = group.create_task(self._clock.sleep(seconds))
            while not nap.done() and key not in self._again:
                await asyncio.wait({nap}, timeout=0.05)
            nap.cancel()

    async def _step(self, key: str) -> float | None:
        """Seconds until the next step, or None when done."""
        try:
            with span(f"{self._reconciler.name}/step"):
                outcome = await self._reconciler.step(key)
        except Exception as error:  # noqa: BLE001 - the same
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(LAST_BACKOFF, FIRST_BACKOFF * 2 ** (failures - 1))
            STEPS.labels(self._reconciler.name, "failed").inc()
            self._log.warning(
                "step.failed", key=key, error=str(error), again_in=delay, exc_info=not isinstance(error, Failure)
            )
            return delay
        self._failures.pop(key, None)
        STEPS.labels(self._reconciler.name, type(outcome).__name__.lower()).inc()
        return max(outcome.after, 0.001) if isinstance(outcome, Again) else None

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
        # Held during a step, not during the pause after it.
        self._slots = asyncio.Semaphore(concurrency)
        # Keys that a task of ours is at, each with the event that ends its pause.
        self._busy: dict[str, asyncio.Event] = {}
        self._failures: dict[str, int] = {}

    def wake(self, key: str | None = None) -> None:
        """Asks for a look now; a key that is being worked on gets one more step, when it is the one named."""
        if key is not None and key in self._busy:
            self._busy[key].set()
        else:
            self._woken.set()

    async def run(self) -> None:
        """Looks and works for ever. Being cancelled cancels the steps under way."""
        async with asyncio.TaskGroup() as group:
            while True:
                self._woken.clear()
                for key in await self._look():
                    if key not in self._busy:
                        self._busy[key] = asyncio.Event()
                        group.create_task(self._work(key), name=f"{self._reconciler.name}:{key}")
                await self._rest(self._woken, self._reconciler.period)

    async def _look(self) -> list[str]:
        try:
            found = list(await self._reconciler.due())
        except Exception as error:  # noqa: BLE001 - a loop outlives what it looks at: logged, then looked at again
            STEPS.labels(self._reconciler.name, "look_failed").inc()
            self._log.warning("look.failed", error=str(error), exc_info=not isinstance(error, Failure))
            await self._clock.sleep(1.0)
            self._woken.set()
            return []
        return found

    async def _work(self, key: str) -> None:
        again = self._busy[key]
        try:
            while True:
                again.clear()
                async with self._slots:
                    after = await self._step(key)
                if after is not None:
                    await self._rest(again, min(after, self._reconciler.period))
                elif not again.is_set():
                    return
        finally:
            del self._busy[key]

    async def _rest(self, until: asyncio.Event, seconds: float) -> None:
        """Waits for the event, at most `seconds` of the clock."""
        nap = asyncio.ensure_future(self._clock.sleep(seconds))
        woken = asyncio.ensure_future(until.wait())
        try:
            await asyncio.wait({nap, woken}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nap.cancel()
            woken.cancel()

    async def _step(self, key: str) -> float | None:
        """Seconds until the next step, or None when done."""
        try:
            with span(f"{self._reconciler.name}/step"):
                outcome = await self._reconciler.step(key)
        except Exception as error:  # noqa: BLE001 - the same
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(LAST_BACKOFF, FIRST_BACKOFF * 2.0 ** (failures - 1))
            STEPS.labels(self._reconciler.name, "failed").inc()
            self._log.warning(
                "step.failed", key=key, error=str(error), again_in=delay, exc_info=not isinstance(error, Failure)
            )
            return delay
        self._failures.pop(key, None)
        STEPS.labels(self._reconciler.name, type(outcome).__name__.lower()).inc()
        return outcome.after if isinstance(outcome, Again) else None

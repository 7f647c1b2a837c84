"""Lets instances finish what they hold, stops them, and clears up after them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.context import platform
from libs.reconcile import Again, Done, Outcome
from services.deploy.app.journal import Journal
from services.deploy.app.ports import Edge, Store
from services.deploy.app.rollout import GRACE_SECONDS
from services.deploy.app.runtime import Runtime
from services.deploy.domain.model import Instance, InstanceState

PERIOD_SECONDS: Final = 5.0
DRAIN_LOOK_SECONDS: Final = 0.25
# The edge's counters settle after a change of endpoints; until then, idle means nothing.
SETTLE_SECONDS: Final = 1.0


class ReaperLoop:
    """Reconciles one leaving instance at a time."""

    name = "deploy/reaper"
    period = PERIOD_SECONDS

    def __init__(
        self, store: Store, runtime: Runtime, edge: Edge, journal: Journal, clock: Clock, gone: Callable[[str], None]
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._edge = edge
        self._journal = journal
        self._clock = clock
        # Told the pair of an instance that is gone.
        self._gone = gone
        self._seen_draining: dict[str, float] = {}

    async def due(self) -> Sequence[str]:
        """Instances that are leaving."""
        leaving = await self._store.instances_in([InstanceState.DRAINING, InstanceState.STOPPING])
        return [instance.id for instance in leaving]

    async def step(self, key: str) -> Outcome:
        """Waits until it is idle or its time is up, then stops it and clears up."""
        instance = await self._store.instance(key)
        if instance.state is InstanceState.DRAINING and not await self._drained(instance):
            return Again(DRAIN_LOOK_SECONDS)
        if instance.state in (InstanceState.DRAINING, InstanceState.STOPPING):
            await self._end(instance)
        return Done()

    async def _drained(self, instance: Instance) -> bool:
        now = self._clock.now()
        if instance.drain_until is None or now >= instance.drain_until:
            return True
        since = self._seen_draining.setdefault(instance.id, self._clock.monotonic())
        if self._clock.monotonic() - since < SETTLE_SECONDS:
            return False
        return await self._edge.in_flight(platform("deploy"), instance.pair) == 0

    async def _end(self, instance: Instance) -> None:
        await self._runtime.terminate(instance.id, grace=GRACE_SECONDS)
        seen = {observed.instance_id: observed for observed in await self._runtime.observe()}.get(instance.id)
        while await self._journal.collect(instance, ended=True):
            continue
        await self._store.save_instance(
            replace(instance, state=InstanceState.EXITED, exit_code=seen.exit_code if seen else instance.exit_code)
        )
        await self._runtime.remove(instance.id)
        self._journal.forget(instance.id, instance.deployment_id)
        self._seen_draining.pop(instance.id, None)
        self._gone(instance.pair)

"""Watches what runs: moves its output into the log, and wakes the rollout when something starts or ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.errors import Failure, Invalid, NotFound
from libs.telemetry import get_logger
from services.deploy.app.journal import Journal
from services.deploy.app.ports import Store
from services.deploy.app.runtime import Runtime
from services.deploy.domain.model import WANTED, Instance, InstanceState

LOOK_SECONDS: Final = 0.2
CHUNKS_A_LOOK: Final = 8


class Watch:
    """Looks at every instance a few times a second."""

    def __init__(
        self, store: Store, runtime: Runtime, journal: Journal, clock: Clock, changed: Callable[[str], None]
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._journal = journal
        self._clock = clock
        # Told the pair of an instance that started or ended.
        self._changed = changed
        self._alive: dict[str, bool] = {}
        self._known: dict[str, Instance] = {}
        self._log = get_logger("deploy/watch")

    async def run(self) -> None:
        """Looks for ever; a look that fails is logged and taken again."""
        while True:
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - whatever one look meets, the next one is taken
                self._log.warning("look.failed", error=str(error), exc_info=not isinstance(error, Failure))
            await self._clock.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """One look at everything that runs."""
        observed = await self._runtime.observe()
        alive = {seen.instance_id: seen.alive for seen in observed}
        different = {name for name in alive.keys() | self._alive.keys() if alive.get(name) != self._alive.get(name)}
        if different:
            await self._reload(alive)
        for pair in {self._known[name].pair for name in different if name in self._known}:
            self._changed(pair)
        self._alive = alive
        for seen in observed:
            instance = self._known.get(seen.instance_id)
            if instance is not None:
                await self._collect(instance, ended=not seen.alive)

    async def _collect(self, instance: Instance, *, ended: bool) -> None:
        """One instance's output; a release that cannot be read must not silence the others."""
        try:
            for _ in range(CHUNKS_A_LOOK):
                if not await self._journal.collect(instance, ended=ended):
                    return
        except (Invalid, NotFound) as failure:
            self._log.warning("output.not_read", instance=instance.id, error=str(failure))

    async def _reload(self, alive: Mapping[str, bool]) -> None:
        """Reads the rows again; what runs without a row, or after its row ended, is a leftover and is removed."""
        live = await self._store.instances_in([*WANTED, InstanceState.DRAINING, InstanceState.STOPPING])
        self._known = {instance.id: instance for instance in live}
        for instance_id in alive.keys() - self._known.keys():
            if await self._is_leftover(instance_id):
                self._log.info("leftover.removed", instance=instance_id)
                await self._runtime.terminate(instance_id, grace=0)
                await self._runtime.remove(instance_id)
                self._journal.forget(instance_id)

    async def _is_leftover(self, instance_id: str) -> bool:
        try:
            return (await self._store.instance(instance_id)).state is InstanceState.EXITED
        except NotFound:
            return True

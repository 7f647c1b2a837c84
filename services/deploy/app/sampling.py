"""What every instance uses now."""

from __future__ import annotations

from dataclasses import dataclass

from libs.kernel.context import platform
from libs.kernel.errors import NotFound
from services.deploy.app.ports import Store
from services.deploy.app.runtime import Runtime
from services.deploy.domain.instance import Observed
from services.deploy.domain.model import Deployment


@dataclass(frozen=True, slots=True)
class Sample:
    """An instance's counters with the deployment it runs for."""

    observed: Observed
    deployment: Deployment


class Sampling:
    """Reads the runtime's counters for metering."""

    def __init__(self, store: Store, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime

    async def now(self) -> list[Sample]:
        """Counters of every instance the runtime has; one that ended since the last call has its final ones."""
        samples = []
        known: dict[str, Deployment] = {}
        for observed in await self._runtime.observe():
            try:
                instance = await self._store.instance(observed.instance_id)
                if instance.deployment_id not in known:
                    known[instance.deployment_id] = await self._store.get(platform("deploy"), instance.deployment_id)
            except NotFound:
                continue  # a leftover without a row; the watch removes it
            samples.append(Sample(observed, known[instance.deployment_id]))
        return samples

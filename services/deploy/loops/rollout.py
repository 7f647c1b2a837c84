"""Looks at each service in each environment, plans, and takes the steps."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from libs.kernel.clock import Clock
from libs.reconcile import Again, Done, Outcome
from libs.telemetry import get_logger
from services.deploy.app.ports import Probe, Store
from services.deploy.app.rollout import Rollout
from services.deploy.app.runtime import Runtime
from services.deploy.domain.instance import Observed
from services.deploy.domain.model import Instance
from services.deploy.domain.plan import plan, wants_check
from services.deploy.domain.steps import Check, World

PERIOD_SECONDS: Final = 5.0


class RolloutLoop:
    """Reconciles one pair of service and environment at a time."""

    name = "deploy/rollout"
    period = PERIOD_SECONDS

    def __init__(self, store: Store, runtime: Runtime, probe: Probe, rollout: Rollout, clock: Clock) -> None:
        self._store = store
        self._runtime = runtime
        self._probe = probe
        self._rollout = rollout
        self._clock = clock
        self._log = get_logger(self.name)

    async def due(self) -> Sequence[str]:
        """Pairs with anything that may want a step."""
        return await self._store.open_pairs()

    async def step(self, key: str) -> Outcome:
        """Observes, plans, and takes what is planned."""
        decided = plan(await self._observe(key))
        for action in decided.actions:
            self._log.debug("step.taken", pair=key, action=type(action).__name__)
            await self._rollout.take(key, action)
        return Done() if decided.again is None else Again(decided.again)

    async def _observe(self, pair: str) -> World:
        deployments = await self._store.of_pair(pair)
        instances = await self._store.instances([deployment.id for deployment in deployments])
        observed = {seen.instance_id: seen for seen in await self._runtime.observe()}
        now = self._clock.now()
        paths = {d.id: d.settings.health_path for d in deployments if d.settings and d.settings.kind != "worker"}
        asked = [
            instance
            for instance in instances
            if instance.deployment_id in paths and wants_check(instance, observed.get(instance.id), now)
        ]
        answers = await asyncio.gather(*(self._check(i, observed, paths[i.deployment_id]) for i in asked))
        return World(
            now=now,
            deployments=tuple(deployments),
            instances=tuple(instances),
            observed=observed,
            checks={instance.id: answer for instance, answer in zip(asked, answers, strict=True)},
            route=await self._store.route(pair),
        )

    async def _check(self, instance: Instance, observed: dict[str, Observed], path: str | None) -> Check:
        port = observed[instance.id].port
        return await self._probe(port, path) if port else Check(healthy=False, reason="It has no port.")

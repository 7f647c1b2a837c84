"""A world of one service in one environment, in which planned steps take effect at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from services.deploy.domain.instance import Observed
from services.deploy.domain.machine import FINAL, State
from services.deploy.domain.model import Deployment, Endpoint, Instance, InstanceState, Route, Settings, Trigger
from services.deploy.domain.plan import plan, wants_check
from services.deploy.domain.steps import (
    Action,
    Check,
    Create,
    GoLive,
    MakeRelease,
    Move,
    Note,
    Plan,
    Publish,
    Replace,
    Retire,
    Start,
    World,
)

START = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(number: int, state: State = State.QUEUED, **changes: object) -> Deployment:
    """Deployment `number` of the one service; later numbers are newer."""
    made = Deployment(
        id=f"dep_{number:03}",
        workspace_id="wsp_a",
        project_id="prj_a",
        environment_id="env_a",
        service_id="svc_a",
        service_name="web",
        state=state,
        trigger=Trigger.UPLOAD,
        created_at=START,
        updated_at=START,
        artifact_digest="sha256:a",
    )
    return replace(made, **changes)  # type: ignore[arg-type]


@dataclass
class Simulation:
    """Carries plans out on plain data. `healthy` and `exits` say how instances behave."""

    settings: Settings = field(default_factory=Settings)
    now: datetime = START
    deployments: dict[str, Deployment] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    observed: dict[str, Observed] = field(default_factory=dict)
    route: Route = field(default_factory=Route)
    healthy: Callable[[Instance], bool] = lambda _instance: True
    exit_code: Callable[[Instance], int | None] = lambda _instance: None
    log: list[Action] = field(default_factory=list)

    def add(self, *made: Deployment) -> None:
        self.deployments |= {one.id: one for one in made}

    def world(self) -> World:
        open_ = [i for i in self.instances.values() if i.state is not InstanceState.EXITED]
        used = {i.deployment_id for i in open_}
        kept = [d for d in self.deployments.values() if d.state not in FINAL or d.id in used]
        checks = {
            i.id: Check(healthy=self.healthy(i)) for i in open_ if wants_check(i, self.observed.get(i.id), self.now)
        }
        return World(self.now, tuple(sorted(kept, key=lambda d: d.id)), tuple(open_), self.observed, checks, self.route)

    def step(self) -> Plan:
        """Plans and takes one round of steps, then lets leaving instances go."""
        decided = plan(self.world())
        for action in decided.actions:
            self.log.append(action)
            self._take(action)
        for instance in list(self.instances.values()):
            if instance.state in (InstanceState.DRAINING, InstanceState.STOPPING):
                self.instances[instance.id] = replace(instance, state=InstanceState.EXITED)
                self.observed.pop(instance.id, None)
        return decided

    def settle(self, most: int = 300) -> None:
        """Steps until nothing is planned, moving the time on as the plans ask, for at most ten minutes."""
        end = self.now + timedelta(minutes=10)
        for _ in range(most):
            decided = self.step()
            if decided.again is None or self.now > end:
                return
            self.now += timedelta(seconds=decided.again and max(decided.again, 0.5))
            self._age()

    def _age(self) -> None:
        for name, seen in list(self.observed.items()):
            code = self.exit_code(self.instances[name])
            if seen.alive and code is not None:
                self.observed[name] = replace(seen, alive=False, exit_code=code)

    def _take(self, action: Action) -> None:  # noqa: C901 - one arm an action
        match action:
            case Move(d, state, reason):
                self._save(self.deployments[d.id].move(state, reason, self.now))
            case MakeRelease(d):
                self._save(replace(self.deployments[d.id], settings=self.settings))
            case Create(d, replica):
                self._add_instance(d.id, replica, 0, self.now)
            case Start(i):
                self.observed[i.id] = Observed(
                    i.id, "run", True, None, False, self.now, 1000 + len(self.instances), 0, 0
                )
            case Note(i, state, failures):
                seen = self.observed[i.id]
                first = self.now if state is InstanceState.HEALTHY and i.healthy_at is None else i.healthy_at
                changed = replace(i, state=state, failed_checks=failures, checked_at=self.now, healthy_at=first)
                self.instances[i.id] = replace(changed, port=seen.port or 0)
            case Replace(i, restarts, start_after):
                self.instances[i.id] = replace(i, state=InstanceState.STOPPING)
                self._add_instance(i.deployment_id, i.replica, restarts, start_after)
            case Publish(endpoints):
                self.route = Route(endpoints, self.route.generation + 1)
            case GoLive(candidate, previous):
                for old in previous:
                    self._save(self.deployments[old.id].move(State.REMOVING, "", self.now))
                self._save(self.deployments[candidate.id].move(State.ACTIVE, "", self.now))
            case Retire(i):
                self.instances[i.id] = replace(i, state=InstanceState.DRAINING)

    def _save(self, changed: Deployment) -> None:
        self.deployments[changed.id] = changed

    def _add_instance(self, deployment_id: str, replica: int, restarts: int, start_after: datetime) -> None:
        name = f"ins_{len(self.instances):03}"
        state = InstanceState.STARTING
        self.instances[name] = Instance(name, deployment_id, "svc_a/env_a", replica, state, restarts, start_after)

    def states(self) -> dict[str, str]:
        return {name: str(d.state) for name, d in self.deployments.items()}

    def serving(self) -> set[str]:
        """Deployments that requests reach now."""
        return {self.instances[endpoint.instance_id].deployment_id for endpoint in self.route.endpoints}


__all__ = ["Endpoint", "Simulation", "deployment"]

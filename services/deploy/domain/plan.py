"""What to do next for one service in one environment: a pure function of what is wanted and what is seen."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from services.deploy.domain.instance import Observed
from services.deploy.domain.machine import IN_FLIGHT, RUNNING, State
from services.deploy.domain.model import (
    WANTED,
    Deployment,
    Endpoint,
    Instance,
    InstanceState,
    Settings,
    Trigger,
)
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

# Seconds between two looks while something is on its way, and between two liveness checks.
SOON: Final = 0.03
# After this long of waiting, looks become calmer.
HASTE_SECONDS: Final = 2.0
CALM: Final = 0.25
LIVENESS_SECONDS: Final = 10.0
LIVENESS_FAILURES: Final = 3
# A worker has no port to look at: it counts as healthy after this long.
WORKER_SECONDS: Final = 1.0
# Stands for the exit code of a process whose end nobody saw.
LOST: Final = -1
FIRST_BACKOFF: Final = 0.5
LAST_BACKOFF: Final = 10.0
# A replica that was healthy this long has its restarts forgotten.
FORGIVEN_SECONDS: Final = 600.0
# A build that nobody reports on for this long has been lost.
BUILD_SECONDS: Final = 3600.0
# A rollout that neither serves nor fails by itself this long after its health timeout is ended.
ROLLOUT_SECONDS: Final = 600.0


def plan(world: World) -> Plan:
    """Decides the next steps. Nothing to do and nothing to wait for: no actions, no again."""
    actions: list[Action] = [*_queue(world)]
    for deployment in world.deployments:
        if deployment.state in (State.INITIALIZING, State.BUILDING):
            actions += _waiting_for_build(world, deployment)
        elif deployment.state in RUNNING:
            actions += _keep(world, deployment)
    if not actions:
        actions += _route(world)
    if not actions:
        actions += _leave(world)
    return Plan(tuple(actions), 0.0 if actions else _again(world))


def wants_check(instance: Instance, observed: Observed | None, now: datetime) -> bool:
    """Whether this instance's health is to be looked at in this step."""
    if observed is None or not observed.alive or instance.state not in WANTED:
        return False
    if instance.state is InstanceState.STARTING or instance.checked_at is None:
        return True
    return (now - instance.checked_at).total_seconds() >= LIVENESS_SECONDS


def backoff(restarts: int) -> float:
    """Seconds to wait before restart number `restarts + 1`."""
    return min(LAST_BACKOFF, FIRST_BACKOFF * 2.0**restarts)


def _queue(world: World) -> list[Action]:
    queued = [d for d in world.deployments if d.state is State.QUEUED]
    if not queued:
        return []
    # New variables alone never push aside code that somebody sent: its release takes them along.
    chosen = max(queued, key=lambda d: (d.trigger is not Trigger.VARIABLES, d.id))
    actions: list[Action] = [
        Move(other, State.SKIPPED, f"Superseded by {chosen.id}.") for other in queued if other is not chosen
    ]
    if not any(d.state in IN_FLIGHT for d in world.deployments):
        actions.append(Move(chosen, State.INITIALIZING))
    return actions


def _waiting_for_build(world: World, deployment: Deployment) -> list[Action]:
    if deployment.state is State.INITIALIZING and deployment.artifact_digest:
        return [Move(deployment, State.DEPLOYING)]
    if (world.now - deployment.updated_at).total_seconds() > BUILD_SECONDS:
        return [
            Move(deployment, State.FAILED, "The build was lost: nothing was heard of it for an hour. Deploy again.")
        ]
    return []


def _keep(world: World, deployment: Deployment) -> list[Action]:
    """Holds a deployment's replicas: starts, notes, restarts; ends it when that is hopeless."""
    settings = deployment.settings
    waited = (world.now - deployment.updated_at).total_seconds()
    if deployment.state is State.DEPLOYING and waited > ROLLOUT_SECONDS + (settings or Settings()).health_timeout:
        why = (
            "A part of the platform it needs did not answer in time. Look at `lightrail platform status`; deploy again."
        )
        return [Move(deployment, State.FAILED, why)]
    if settings is None:
        return [MakeRelease(deployment)]
    mine = [i for i in world.instances if i.deployment_id == deployment.id and i.state in WANTED]
    if deployment.state is State.DEPLOYING and (late := _too_late(world, deployment, settings, mine)):
        return late
    actions: list[Action] = [
        Create(deployment, replica)
        for replica in range(settings.replicas)
        if all(instance.replica != replica for instance in mine)
    ]
    for instance in mine:
        seen = _instance(world, deployment, settings, instance)
        if isinstance(seen, Move):
            return [seen]
        if seen is not None:
            actions.append(seen)
    return actions


def _instance(world: World, deployment: Deployment, settings: Settings, instance: Instance) -> Action | None:
    observed = world.observed.get(instance.id)
    if observed is None:
        return Start(instance) if world.now >= instance.start_after else None
    if not observed.alive:
        return _exited(world, deployment, settings, instance, observed)
    if instance.state is InstanceState.UNHEALTHY:
        return _unhealthy(world, settings, instance)
    check = _checked(world, settings, instance, observed)
    if check is None or check.healthy:
        return Note(instance, InstanceState.HEALTHY) if check else None
    if instance.state is InstanceState.STARTING:
        return _slow_restart(world, deployment, settings, instance, observed)
    failures = instance.failed_checks + 1
    worse = InstanceState.UNHEALTHY if failures >= LIVENESS_FAILURES else InstanceState.HEALTHY
    return Note(instance, worse, failures)


def _slow_restart(
    world: World, deployment: Deployment, settings: Settings, instance: Instance, observed: Observed
) -> Action | None:
    """A replica of a live deployment that does not come back in time is tried again, or ends it."""
    if deployment.state is not State.ACTIVE:
        return None
    if (world.now - observed.started_at).total_seconds() < settings.health_timeout:
        return None
    restarts = _restarts(world, instance) + 1
    if restarts > settings.restart_max_retries:
        why = f"After a restart it was not healthy within {settings.health_timeout} s. Look at its logs."
        return Move(deployment, State.CRASHED, why)
    return Replace(instance, restarts, world.now + timedelta(seconds=backoff(restarts)), "It did not become healthy.")


def _checked(world: World, settings: Settings, instance: Instance, observed: Observed) -> Check | None:
    """The check of this step; a worker is healthy by having lived a while."""
    if settings.kind != "worker":
        return world.checks.get(instance.id)
    lived = (world.now - observed.started_at).total_seconds()
    is_new = instance.state is InstanceState.STARTING and lived >= WORKER_SECONDS
    return Check(healthy=True) if is_new else None


def _unhealthy(world: World, settings: Settings, instance: Instance) -> Action | None:
    """Out of the edge first (that is `_route`'s work), then replaced."""
    if any(endpoint.instance_id == instance.id for endpoint in world.route.endpoints):
        return None
    restarts = _restarts(world, instance) + 1
    wait = timedelta(seconds=backoff(min(restarts, settings.restart_max_retries)))
    return Replace(instance, restarts, world.now + wait, "It stopped answering its health check.")


def _exited(world: World, deployment: Deployment, settings: Settings, instance: Instance, observed: Observed) -> Action:
    code = observed.exit_code
    if code is None and not observed.oom:
        # Lost with the machine, as a rule: it starts again whatever its policy, and it counts, lest it never end.
        code = LOST
    what = how_it_ended(observed, settings)
    restart = (
        settings.restart_policy == "always" or code == LOST or (settings.restart_policy == "on_failure" and code != 0)
    )
    restarts = _restarts(world, instance)
    if restart and restarts < settings.restart_max_retries:
        return Replace(instance, restarts + 1, world.now + timedelta(seconds=backoff(restarts)), what)
    if restart:
        return Move(deployment, State.CRASHED, f"{what} {restarts} restarts did not help. Look at its logs.")
    if deployment.state is State.DEPLOYING:
        return Move(
            deployment,
            State.FAILED,
            f"{what} It never became healthy, and its restart policy is “{settings.restart_policy}”.",
        )
    if code == 0:
        return Move(deployment, State.REMOVING, "Completed: the process exited with code 0.")
    return Move(deployment, State.CRASHED, f"{what} Its restart policy is “{settings.restart_policy}”.")


def how_it_ended(observed: Observed, settings: Settings) -> str:
    """One sentence about an exit."""
    if observed.exit_code is None and not observed.oom:
        return "It was lost: the machine or its sandbox went down."
    if observed.oom:
        limit = settings.resources.memory_limit_bytes
        return f"The process was stopped: out of memory (limit {limit // 2**20} MiB)."
    return f"The process exited with code {observed.exit_code}."


def _restarts(world: World, instance: Instance) -> int:
    """Restarts that count: none after a long healthy time."""
    if instance.healthy_at and (world.now - instance.healthy_at).total_seconds() >= FORGIVEN_SECONDS:
        return 0
    return instance.restarts


def _too_late(world: World, deployment: Deployment, settings: Settings, mine: list[Instance]) -> list[Action]:
    waited = (world.now - deployment.updated_at).total_seconds()
    slow = next((i for i in mine if i.state is not InstanceState.HEALTHY), None)
    if waited < settings.health_timeout or slow is None:
        return []
    if any(instance.restarts for instance in mine):
        why = f"It kept exiting and was not healthy within {settings.health_timeout} s. Look at its logs."
        return [Move(deployment, State.CRASHED, why)]
    if settings.health_path:
        last = world.checks.get(slow.id)
        saw = f" The last answer: {last.reason}" if last and last.reason else ""
        why = f"GET {settings.health_path} did not answer 200 within {settings.health_timeout} s.{saw}"
    else:
        why = (
            f"Nothing listened on PORT ({slow.port}) within {settings.health_timeout} s. The app must listen on the"
            " port given in the variable PORT, at 127.0.0.1 or 0.0.0.0; the setting health_timeout allows more time."
        )
    return [Move(deployment, State.FAILED, why)]


def _ready(world: World, deployment: Deployment) -> list[Instance]:
    return [
        instance
        for instance in world.instances
        if instance.deployment_id == deployment.id
        and instance.state is InstanceState.HEALTHY
        and (seen := world.observed.get(instance.id)) is not None
        and seen.alive
    ]


def _is_web(deployment: Deployment) -> bool:
    return deployment.settings is not None and deployment.settings.kind != "worker"


def _route(world: World) -> list[Action]:
    """Points the edge at the candidate when it is whole, else at what is active; then lets the candidate go live."""
    active = [d for d in world.deployments if d.state is State.ACTIVE]
    candidate = next((d for d in world.deployments if d.state is State.DEPLOYING and _whole(world, d)), None)
    serving = candidate or (active[-1] if active else None)
    wanted = (
        tuple(sorted(Endpoint(i.id, i.port) for i in _ready(world, serving))) if serving and _is_web(serving) else ()
    )
    if wanted != world.route.endpoints:
        return [Publish(wanted)]
    return [GoLive(candidate, tuple(active))] if candidate else []


def _whole(world: World, deployment: Deployment) -> bool:
    return deployment.settings is not None and len(_ready(world, deployment)) >= deployment.settings.replicas


def _leave(world: World) -> list[Action]:
    """Lets instances go that nobody wants and the edge no longer uses; closes deployments that are empty."""
    known = {d.id: d for d in world.deployments}
    routed = {endpoint.instance_id for endpoint in world.route.endpoints}
    actions: list[Action] = []
    for instance in world.instances:
        deployment = known.get(instance.deployment_id)
        wanted = deployment is not None and deployment.state in RUNNING
        if instance.state in WANTED and not wanted and instance.id not in routed:
            served = deployment is not None and deployment.went_live_at is not None and _is_web(deployment)
            drain = deployment.settings.drain_seconds if served and deployment and deployment.settings else 0
            actions.append(Retire(instance, drain))
    occupied = {instance.deployment_id for instance in world.instances}
    actions += [
        Move(d, State.REMOVED, d.reason)
        for d in world.deployments
        if d.state is State.REMOVING and d.id not in occupied
    ]
    return actions


def _again(world: World) -> float | None:
    """Seconds until the next look."""
    times: list[float] = []
    checked = {deployment.id for deployment in world.deployments if _is_web(deployment)}
    for deployment in world.deployments:
        if deployment.state is State.DEPLOYING:
            waited = (world.now - deployment.updated_at).total_seconds()
            times.append(SOON if waited < HASTE_SECONDS else CALM)
        elif deployment.state in (State.INITIALIZING, State.BUILDING):
            times.append(BUILD_SECONDS)
        elif deployment.state is State.ACTIVE:
            times.append(LIVENESS_SECONDS)
    for instance in world.instances:
        if instance.state is InstanceState.STARTING:
            late = (world.now - instance.start_after).total_seconds()
            times.append(max(SOON if late < HASTE_SECONDS else CALM, -late))
        elif instance.state is InstanceState.UNHEALTHY:
            times.append(SOON)
        elif instance.state is InstanceState.HEALTHY and instance.checked_at and instance.deployment_id in checked:
            since = (world.now - instance.checked_at).total_seconds()
            times.append(max(SOON, LIVENESS_SECONDS - since))
    return min(times, default=None)

"""Takes the planned steps of a rollout, each safe to repeat and to die in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Final

import msgspec

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx, platform
from libs.kernel.errors import Conflict, Denied, Exhausted, Invalid, NotFound, Unavailable
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from services.deploy.app.commands import Commands
from services.deploy.app.journal import Journal, note, secret_looking
from services.deploy.app.ports import Builds, Edge, Keyring, Logs, Projects, Store
from services.deploy.app.runtime import Runtime
from services.deploy.domain import steps as step
from services.deploy.domain.facts import DeploymentRequested
from services.deploy.domain.instance import Launch
from services.deploy.domain.machine import State
from services.deploy.domain.model import (
    Deployment,
    Instance,
    InstanceState,
    Release,
    Resources,
    Route,
    Settings,
    Trigger,
)

GRACE_SECONDS: Final = 10.0
# Faults of the user's: trying again does not help.
USERS_FAULT: Final = (Invalid, NotFound, Conflict, Denied, Exhausted)


class Rollout:
    """Carries out plans."""

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        *,
        store: Store,
        runtime: Runtime,
        logs: Logs,
        journal: Journal,
        projects: Projects,
        builds: Builds,
        edge: Edge,
        keyring: Keyring,
        commands: Commands,
        clock: Clock,
        defaults: Resources,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._logs = logs
        self._journal = journal
        self._projects = projects
        self._builds = builds
        self._edge = edge
        self._keyring = keyring
        self._commands = commands
        self._clock = clock
        self._defaults = defaults
        self._ctx: Ctx = platform("deploy")

    async def take(self, pair: str, action: step.Action) -> None:
        """Takes one step."""
        match action:
            case step.Move():
                await self._move(action)
            case step.MakeRelease():
                await self._make_release(action.deployment)
            case step.Create():
                await self._create(action)
            case step.Start():
                await self._start(action.instance)
            case step.Note():
                await self._note(action)
            case step.Replace():
                await self._replace(action)
            case step.Publish():
                await self._publish(pair, action)
            case step.GoLive():
                await self._go_live(action)
            case step.Retire():
                await self._retire(action)

    async def _move(self, action: step.Move) -> None:
        if action.state in (State.FAILED, State.CRASHED):
            await self._hear_out(await self._store.instances([action.deployment.id]))
        async with self._store.work():
            current = await self._store.lock(action.deployment.id)
            if current.state is not action.deployment.state:
                return  # someone else moved it; the next look sees
            if action.state is State.INITIALIZING and current.trigger is Trigger.VARIABLES:
                current = await self._newest_code(current)
            moved = await self._commands.move(current, action.state, action.reason)
            if action.state is State.INITIALIZING:
                await self._store.record(DeploymentRequested(moved, await self._live_commit(moved)))
            if action.state in (State.FAILED, State.CRASHED):
                await note(self._logs, moved, action.reason, self._clock.now())

    async def _live_commit(self, deployment: Deployment) -> str:
        """The commit that is live, for a deployment that may turn out to change nothing; else empty."""
        if deployment.trigger not in (Trigger.GIT, Trigger.PUSH):
            return ""
        live = await self._store.live(deployment.service_id, deployment.environment_id)
        commits = [one.git.commit for one in live if one.state is State.ACTIVE and one.git]
        return commits[-1] if commits else ""

    async def _newest_code(self, deployment: Deployment) -> Deployment:
        """New variables start what is live now, which may be newer than what was live when they changed."""
        live = await self._store.live(deployment.service_id, deployment.environment_id)
        active = [one for one in live if one.state is State.ACTIVE]
        if not active:
            return deployment
        newest = active[-1]
        return replace(
            deployment, artifact_digest=newest.artifact_digest, snapshot_id=newest.snapshot_id, git=newest.git
        )

    async def _make_release(self, deployment: Deployment) -> None:
        try:
            release, version, url = await self._collect(deployment)
        except USERS_FAULT as failure:
            return await self._move(step.Move(deployment, State.FAILED, str(failure)))
        async with self._store.work():
            current = await self._store.lock(deployment.id)
            if current.state is not State.DEPLOYING or current.settings is not None:
                return None
            await self._store.add_release(release)
            await self._store.save(
                replace(
                    current,
                    settings=release.settings,
                    replicas=release.settings.replicas,
                    resources=release.settings.resources,
                    variables_version=version,
                    url=url,
                )
            )
        return None

    async def _collect(self, deployment: Deployment) -> tuple[Release, int, str]:
        service = await self._projects.service(
            self._ctx, service_id=deployment.service_id, environment_id=deployment.environment_id
        )
        if deployment.trigger is Trigger.ROLLBACK:
            old = await self._store.release(deployment.origin_id)
            await self._builds.artifact(self._ctx, old.artifact.digest)  # NotFound now, rather than at the start
            plain = await self._keyring.open(old.sealed_variables, deployment.origin_id)
            release = replace(
                old, deployment_id=deployment.id, sealed_variables=await self._keyring.seal(plain, deployment.id)
            )
            version = deployment.variables_version
        else:
            release, version = await self._fresh(deployment, service.settings)
        url = await self._edge.claim(self._ctx, service) if release.settings.kind != "worker" else ""
        return release, version, url

    async def _fresh(self, deployment: Deployment, settings: Settings) -> tuple[Release, int]:
        artifact = await self._builds.artifact(self._ctx, deployment.artifact_digest)
        if artifact.image:
            raise Invalid(
                f"The build made a container image ({artifact.image}). This platform runs applications as processes; "
                "images need the docker runtime, which it does not have.",
                hint='Build without an image: take “builder” out of lightrail.toml, or write builder = "slug".',
            )
        variables = await self._projects.render(
            self._ctx, deployment.service_id, deployment.environment_id, deployment.id
        )
        sealed = await self._store.extra_variables(deployment.id)
        opened = await self._keyring.open(sealed, deployment.id) if sealed else b"{}"
        extra = msgspec.json.decode(opened, type=dict[str, str])
        values = msgspec.json.encode({**variables.values, **extra})
        resolved = replace(
            settings,
            replicas=deployment.replicas or settings.replicas,
            kind=artifact.kind if artifact.kind == "worker" else settings.kind,
            resources=deployment.resources.over(settings.resources).over(self._defaults),
        )
        release = Release(
            deployment.id,
            artifact,
            resolved,
            await self._keyring.seal(values, deployment.id),
            (*variables.secret_names, *secret_looking(extra)),
        )
        return release, variables.version

    async def _create(self, action: step.Create) -> None:
        await self._store.add_instance(
            self._fresh_instance(action.deployment.id, action.deployment.pair, action.replica)
        )

    def _fresh_instance(self, deployment_id: str, pair: str, replica: int) -> Instance:
        return Instance(
            id=new_id("instance", self._clock),
            deployment_id=deployment_id,
            pair=pair,
            replica=replica,
            state=InstanceState.STARTING,
            restarts=0,
            start_after=self._clock.now(),
        )

    async def _start(self, instance: Instance) -> None:
        release = await self._store.release(instance.deployment_id)
        deployment = await self._store.get(self._ctx, instance.deployment_id)
        try:
            plain = await self._keyring.open(release.sealed_variables, deployment.id)
        except Invalid as failure:
            return await self._move(step.Move(deployment, _ending(deployment), f"It could not be started: {failure}"))
        values = msgspec.json.decode(plain, type=dict[str, str]) | {
            "LIGHTRAIL_DEPLOYMENT_ID": deployment.id,
            "LIGHTRAIL_REPLICA_ID": instance.id,
            "LIGHTRAIL_SNAPSHOT_ID": deployment.snapshot_id,
        }
        settings = release.settings
        artifact = replace(
            release.artifact,
            kind=settings.kind,
            start_command=settings.start_command or release.artifact.start_command,
        )
        launch = Launch(
            instance_id=instance.id,
            deployment_id=deployment.id,
            service_id=deployment.service_id,
            environment_id=deployment.environment_id,
            replica=instance.replica,
            artifact=artifact,
            variables={name: Secret(value) for name, value in values.items()},
            memory_limit_bytes=settings.resources.memory_limit_bytes or None,
            cpu_limit_millicores=settings.resources.cpu_limit_millicores or None,
            grace_seconds=GRACE_SECONDS,
        )
        try:
            await self._runtime.start(launch)
        except (Invalid, NotFound) as failure:
            return await self._move(step.Move(deployment, _ending(deployment), f"It could not be started: {failure}"))
        return None

    async def _note(self, action: step.Note) -> None:
        now = self._clock.now()
        instance = action.instance
        observed = {seen.instance_id: seen for seen in await self._runtime.observe()}.get(instance.id)
        turned_healthy = action.state is InstanceState.HEALTHY and instance.healthy_at is None
        await self._store.save_instance(
            replace(
                instance,
                state=action.state,
                failed_checks=action.failed_checks,
                checked_at=now,
                healthy_at=now if turned_healthy else instance.healthy_at,
                port=(observed.port or 0) if observed else instance.port,
                started_at=observed.started_at if observed else instance.started_at,
            )
        )

    async def _replace(self, action: step.Replace) -> None:
        old = action.instance
        await self._hear_out([old])
        async with self._store.work():
            await self._store.save_instance(replace(old, state=InstanceState.STOPPING, reason=action.reason))
            fresh = self._fresh_instance(old.deployment_id, old.pair, old.replica)
            await self._store.add_instance(replace(fresh, restarts=action.restarts, start_after=action.start_after))
        deployment = await self._store.get(self._ctx, old.deployment_id)
        await note(self._logs, deployment, f"{action.reason} Restart {action.restarts}.", self._clock.now())

    async def _hear_out(self, instances: Sequence[Instance]) -> None:
        """Has what instances printed in the log before the platform's word about them."""
        # Of a release that cannot be read, the watch tells at each of its looks.
        with suppress(Invalid, NotFound):
            await self._journal.hear_out(instances)

    async def _publish(self, pair: str, action: step.Publish) -> None:
        route = await self._store.route(pair)
        generation = route.generation + 1
        whose = await self._store.instance(action.endpoints[0].instance_id) if action.endpoints else None
        try:
            await self._edge.publish(
                self._ctx, pair, action.endpoints, generation, whose.deployment_id if whose else ""
            )
        except Conflict as conflict:
            await self._catch_up(pair, route, conflict)
            raise
        await self._store.save_route(pair, replace(route, endpoints=action.endpoints, generation=generation))

    async def _catch_up(self, pair: str, route: Route, refused: Conflict) -> None:
        """Goes on above the router's generation when that is ahead of ours, as when our database was put back.

        What to publish is decided anew, from what the database holds then. Unavailable: the next look does that. If
        another process was just faster, its row is newer than this one and stays.
        """
        published = await self._edge.generation(self._ctx, pair)
        if published > route.generation:
            await self._store.save_route(pair, replace(route, generation=published))
            raise Unavailable(f"The router was ahead: generation {published}. It is asked again above it.") from refused

    async def _go_live(self, action: step.GoLive) -> None:
        async with self._store.work():
            candidate = await self._store.lock(action.candidate.id)
            if candidate.state is not State.DEPLOYING:
                return
            for old in action.previous:
                previous = await self._store.lock(old.id)
                if previous.state is State.ACTIVE:
                    await self._commands.move(previous, State.REMOVING, f"Replaced by {candidate.id}.")
            await self._commands.move(candidate, State.ACTIVE)

    async def _retire(self, action: step.Retire) -> None:
        until = self._clock.now() + timedelta(seconds=action.drain_seconds)
        state = InstanceState.DRAINING if action.drain_seconds else InstanceState.STOPPING
        await self._store.save_instance(replace(action.instance, state=state, drain_until=until))


def _ending(deployment: Deployment) -> State:
    return State.FAILED if deployment.state is State.DEPLOYING else State.CRASHED

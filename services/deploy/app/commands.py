"""What people and other services ask of deploy. Each writes intent; the rollout loop makes it real."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

import msgspec

from libs.git.refs import ref_name
from libs.git.url import repo_url
from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.kernel.errors import Conflict, Invalid, NotFound
from libs.kernel.ids import new_id
from services.deploy.app.ports import Builds, Keyring, Projects, Service, Store
from services.deploy.domain.facts import DeploymentChanged
from services.deploy.domain.machine import State
from services.deploy.domain.model import Deployment, GitSource, Resources, Trigger

MOST_REPLICAS: Final = 100
LONGEST_KEY: Final = 255
KEY_LIFETIME: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class NewDeployment:
    """What a caller asks for."""

    service_id: str = ""
    environment_id: str = ""
    service_name: str = ""
    snapshot_id: str = ""
    image_url: str = ""
    # None: not asked for; empty: the service's own source.
    git: GitSource | None = None
    replicas: int = 0
    variables: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = Resources()
    idempotency_key: str = ""


class Commands:
    """Use cases that change deployments."""

    def __init__(self, store: Store, projects: Projects, builds: Builds, keyring: Keyring, clock: Clock) -> None:
        self._store = store
        self._projects = projects
        self._builds = builds
        self._keyring = keyring
        self._clock = clock

    async def create(self, ctx: Ctx, wanted: NewDeployment) -> Deployment:
        """Queues a deployment of a snapshot, of a commit, or of what the service's source says.

        The same idempotency key within a day gives the same one.
        """
        if wanted.image_url:
            raise _no_images()
        _check(wanted)
        service = await self._projects.service(
            ctx, service_id=wanted.service_id, environment_id=wanted.environment_id, name=wanted.service_name
        )
        ctx.allow(service.workspace_id, service.project_id, service.environment_id, what="The service")
        git = None
        if not wanted.snapshot_id:
            git = await self._git(ctx, service, wanted.git or GitSource())
        elif await self._builds.snapshot_service(ctx, wanted.snapshot_id) != service.id:
            raise Invalid(f"Snapshot {wanted.snapshot_id} was uploaded for another service.", field="snapshot_id")
        trigger = Trigger.UPLOAD if git is None else Trigger.PUSH if git.push_id else Trigger.GIT
        deployment = replace(
            self._new(service, trigger),
            snapshot_id=wanted.snapshot_id,
            git=git,
            replicas=wanted.replicas or service.settings.replicas,
            resources=wanted.resources.over(service.settings.resources),
        )
        return await self._queue(deployment, wanted.idempotency_key, wanted.variables)

    async def redeploy(self, ctx: Ctx, deployment_id: str) -> Deployment:
        """Queues a deployment that builds the same source again with today's variables and settings."""
        old = await self._of(ctx, deployment_id)
        if not old.snapshot_id and old.git is None:
            raise Conflict(f"{old.id} has no source to build again.")
        service = await self._projects.service(ctx, service_id=old.service_id, environment_id=old.environment_id)
        deployment = replace(
            self._new(service, Trigger.REDEPLOY),
            snapshot_id=old.snapshot_id,
            git=old.git,
            origin_id=old.id,
            replicas=service.settings.replicas,
            resources=service.settings.resources,
        )
        return await self._queue(deployment, "", await self._extra(old, await self._store.extra_variables(old.id)))

    async def rollback(self, ctx: Ctx, deployment_id: str) -> Deployment:
        """Queues a deployment of an older one's artifact, variables and settings; nothing is built."""
        old = await self._of(ctx, deployment_id)
        if old.settings is None or old.went_live_at is None:
            raise Conflict(
                f"{old.id} was never live, so there is nothing to roll back to.", hint="Choose one that was."
            )
        try:
            await self._store.release(old.id)
        except NotFound as gone:
            raise Conflict(f"{old.id} is past the rollback window: what it ran was removed.") from gone
        service = await self._projects.service(ctx, service_id=old.service_id, environment_id=old.environment_id)
        deployment = replace(
            self._new(service, Trigger.ROLLBACK),
            snapshot_id=old.snapshot_id,
            git=old.git,
            artifact_digest=old.artifact_digest,
            origin_id=old.id,
            replicas=old.replicas,
            resources=old.resources,
            variables_version=old.variables_version,
        )
        return await self._queue(deployment, "", {})

    async def restart_with_new_variables(self, active: Deployment) -> Deployment:
        """Queues the same artifact with today's variables."""
        now = self._clock.now()
        deployment = replace(
            active,
            id=new_id("deployment", self._clock),
            state=State.QUEUED,
            trigger=Trigger.VARIABLES,
            origin_id=active.id,
            reason="",
            created_at=now,
            updated_at=now,
            went_live_at=None,
            settings=None,
        )
        extra = await self._extra(active, await self._store.extra_variables(active.id))
        return await self._queue(deployment, "", extra)

    async def delete(self, ctx: Ctx, deployment_id: str) -> Deployment:
        """Cancels a deployment on its way, or stops one that is live. One that has ended is left as it is."""
        await self._of(ctx, deployment_id)
        async with self._store.work():
            return await self.end(await self._store.lock(deployment_id), "Removed on request.")

    async def end(self, deployment: Deployment, reason: str) -> Deployment:
        """Brings a locked deployment to its end, whatever it is doing."""
        if deployment.state in (State.REMOVING, State.REMOVED, State.FAILED, State.SKIPPED):
            return deployment
        has_run = deployment.state in (State.DEPLOYING, State.ACTIVE, State.SLEEPING, State.CRASHED)
        return await self.move(deployment, State.REMOVING if has_run else State.REMOVED, reason)

    async def move(self, deployment: Deployment, state: State, reason: str = "") -> Deployment:
        """Brings a locked deployment to a state and tells it; Conflict when that may not follow."""
        moved = deployment.move(state, reason, self._clock.now())
        await self._store.save(moved)
        await self._store.record(DeploymentChanged(moved))
        return moved

    async def _of(self, ctx: Ctx, deployment_id: str) -> Deployment:
        deployment = await self._store.get(ctx, deployment_id)
        ctx.allow(
            deployment.workspace_id,
            deployment.project_id,
            deployment.environment_id,
            what=f"Deployment {deployment_id}",
        )
        return deployment

    def _new(self, service: Service, trigger: Trigger) -> Deployment:
        now = self._clock.now()
        return Deployment(
            id=new_id("deployment", self._clock),
            workspace_id=service.workspace_id,
            project_id=service.project_id,
            environment_id=service.environment_id,
            service_id=service.id,
            service_name=service.name,
            state=State.QUEUED,
            trigger=trigger,
            created_at=now,
            updated_at=now,
        )

    async def _queue(self, deployment: Deployment, key: str, variables: Mapping[str, str]) -> Deployment:
        sealed = await self._keyring.seal(msgspec.json.encode(dict(variables)), deployment.id) if variables else b""
        async with self._store.work():
            since = self._clock.now() - KEY_LIFETIME
            if key and (earlier := await self._store.by_key(deployment, key, since)) is not None:
                if _asked(earlier) != _asked(deployment):
                    raise Conflict(
                        f"The idempotency key was used for another deployment, {earlier.id}.", hint="Choose a new one."
                    )
                return earlier
            await self._store.add(deployment, key, sealed)
            await self._store.record(DeploymentChanged(deployment))
        return deployment

    async def _git(self, ctx: Ctx, service: Service, wanted: GitSource) -> GitSource:
        """What is to be fetched: as asked for, the rest as the service's source says."""
        if wanted.push_id:
            return wanted
        source = await self._projects.source(ctx, service.id, service.environment_id)
        if source.image and not wanted.url:
            raise _no_images()
        if not (wanted.url or source.git_url):
            raise Invalid(
                "There is nothing to deploy: neither an upload nor a repository.",
                field="snapshot_id",
                hint="Upload the source with lr up, or name a repository: lr source set --git URL",
            )
        url = repo_url(wanted.url or source.git_url, field="git.url")
        ref = wanted.ref or ("" if wanted.url and str(url) != source.git_url else source.branch)
        return GitSource(str(url), ref_name(ref, field="git.ref") if ref else "")

    async def _extra(self, old: Deployment, sealed: bytes) -> dict[str, str]:
        return msgspec.json.decode(await self._keyring.open(sealed, old.id), type=dict[str, str]) if sealed else {}


def _no_images() -> Conflict:
    return Conflict(
        "This machine runs the `process` runtime, which starts source uploads; images need the docker runtime.",
        hint="Upload the source instead.",
    )


def _asked(deployment: Deployment) -> tuple[str, ...]:
    """What a caller asked to be deployed: what became known of it later does not count."""
    if deployment.git is None:
        return (deployment.snapshot_id,)
    return deployment.git.url, deployment.git.ref, deployment.git.push_id


def _check(wanted: NewDeployment) -> None:
    if wanted.snapshot_id and wanted.git is not None:
        raise Invalid("A deployment has one source: a snapshot or a repository.", field="git")
    if not wanted.service_id and not (wanted.service_name and wanted.environment_id):
        raise Invalid("Say which service: service_id, or service_name with environment_id.", field="service_id")
    if not 0 <= wanted.replicas <= MOST_REPLICAS:
        raise Invalid(f"replicas is a number from 1 to {MOST_REPLICAS}.", field="replicas")
    if len(wanted.idempotency_key) > LONGEST_KEY:
        raise Invalid(f"An idempotency key has at most {LONGEST_KEY} characters.", field="idempotency_key")
    if any(amount < 0 for amount in wanted.resources.values()):
        raise Invalid("Resources cannot be negative.", field="resources")
    for name, value in wanted.variables.items():
        if not name.isidentifier() or not name.isascii() or "\0" in value:
            raise Invalid(f"“{name}” cannot be a variable.", field="env_vars", hint="Use letters, digits and _.")

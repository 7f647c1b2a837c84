"""What deploy does when others tell a fact. Each is safe to repeat and to come late."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from libs.kernel.errors import NotFound
from services.deploy.app.commands import Commands
from services.deploy.app.ports import Store
from services.deploy.domain.machine import RUNNING, State
from services.deploy.domain.model import Deployment, GitSource


@dataclass(frozen=True, slots=True)
class Commit:
    """What was fetched: the commit's hash, the first line of its message, its author."""

    sha: str
    message: str
    author: str


class Reactions:
    """Use cases begun by facts; each runs in the follower's transaction."""

    def __init__(self, store: Store, commands: Commands, wake: Callable[[str], None]) -> None:
        self._store = store
        self._commands = commands
        # Told the pair whose rollout has something new.
        self._wake = wake

    async def build_started(self, deployment_id: str) -> None:
        """The deployment is being built."""
        deployment = await self._waiting(deployment_id)
        if deployment and deployment.state is State.INITIALIZING:
            await self._commands.move(deployment, State.BUILDING)

    async def source_fetched(self, deployment_id: str, snapshot_id: str, commit: Commit) -> None:
        """The deployment's commit is known, and is kept as a snapshot: whatever follows uses the same source."""
        try:
            deployment = await self._store.lock(deployment_id)
        except NotFound:
            return  # it was made by a database that has been reset since
        git = replace(deployment.git or GitSource(), commit=commit.sha, message=commit.message, author=commit.author)
        await self._store.save(replace(deployment, git=git, snapshot_id=snapshot_id))

    async def build_skipped(self, deployment_id: str, reason: str) -> None:
        """Nothing that is watched has changed: the deployment ends, what is live goes on."""
        deployment = await self._waiting(deployment_id)
        if deployment:
            await self._commands.move(deployment, State.SKIPPED, reason)

    async def build_succeeded(self, deployment_id: str, artifact_digest: str) -> None:
        """There is something to start. A deployment that was cancelled meanwhile stays cancelled."""
        deployment = await self._waiting(deployment_id)
        if deployment:
            built = replace(deployment, artifact_digest=artifact_digest)
            await self._commands.move(built, State.DEPLOYING)

    async def build_failed(self, deployment_id: str, reason: str) -> None:
        """The deployment ends; what ran before goes on."""
        deployment = await self._waiting(deployment_id)
        if deployment:
            await self._commands.move(deployment, State.FAILED, reason)

    async def build_cancelled(self, deployment_id: str, *, superseded_by: str = "") -> None:
        """The deployment ends: skipped when a newer one took its place before its build began, else removed."""
        deployment = await self._waiting(deployment_id)
        if deployment is None:
            return
        if superseded_by and deployment.state is State.INITIALIZING:
            await self._commands.move(deployment, State.SKIPPED, f"Superseded by {superseded_by}.")
        else:
            await self._commands.move(deployment, State.REMOVED, "Its build was cancelled.")

    async def variables_changed(
        self, service_id: str, environment_id: str, *, version: int, skip_deploys: bool
    ) -> None:
        """What runs starts again with the variables of this version, unless the change said not to.

        A deployment that has yet to be built takes them along; what is on its way to live is started once more. A fact
        may come after a deployment has started with what it tells: that one is left alone.
        """
        if skip_deploys:
            return
        pairs: dict[str, list[Deployment]] = {}
        for deployment in await self._store.live(service_id, environment_id):
            pairs.setdefault(deployment.pair, []).append(deployment)
        for pair, deployments in pairs.items():
            newest = max(deployments, key=lambda deployment: deployment.id)
            has_them = newest.settings is not None and newest.variables_version >= version
            if not has_them and all(deployment.state in RUNNING for deployment in deployments):
                await self._commands.restart_with_new_variables(newest)
                self._wake_later(pair)

    async def service_deleted(self, service_id: str) -> None:
        """Everything of the service ends."""
        for deployment in await self._store.unfinished_of_service(service_id):
            await self._commands.end(await self._store.lock(deployment.id), "Its service was deleted.")
            self._wake_later(deployment.pair)

    def _wake_later(self, pair: str) -> None:
        self._store.after(lambda: self._wake(pair))

    async def _waiting(self, deployment_id: str) -> Deployment | None:
        try:
            deployment = await self._store.lock(deployment_id)
        except NotFound:
            return None  # it was made by a database that has been reset since
        if deployment.state not in (State.INITIALIZING, State.BUILDING):
            return None
        self._wake_later(deployment.pair)
        return deployment

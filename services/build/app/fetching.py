"""Makes a commit a snapshot: fetched once per build, so that every later try and deployment uses the same source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from libs.git.watch import touched
from libs.kernel.clock import Clock
from libs.kernel.errors import Failure, Unavailable
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from libs.plans.faults import BuildFault
from services.build.app.ports import Builds, Facts, Lease, Output, Snapshots, Work
from services.build.app.pushes import PushLedger
from services.build.domain.facts import SourceFetched
from services.build.domain.model import Build, Snapshot
from services.build.domain.push import PushState
from services.build.domain.source import Commit, GitWish, NothingChanged

STEP = "fetch"


@dataclass(frozen=True, slots=True)
class SourceSecrets:
    """What opens a service's repository, and which of its files are watched."""

    # The repository that user name and password belong to.
    url: str = ""
    username: str = ""
    password: Secret[str] | None = None
    private_key: Secret[str] | None = None
    # Lines of known_hosts.
    known_hosts: tuple[str, ...] = ()
    watch_paths: tuple[str, ...] = ()

    @property
    def values(self) -> frozenset[str]:
        """What no log may show."""
        return frozenset({self.password.reveal()}) if self.password else frozenset()


class ProjectSources(Protocol):
    """What project knows of sources."""

    async def secrets(self, build: Build) -> SourceSecrets:
        """What opens the repository of the build's service."""
        ...

    async def keep_host_keys(self, build: Build, lines: Sequence[str]) -> None:
        """Remembers keys of hosts seen for the first time."""
        ...


@dataclass(frozen=True, slots=True)
class Checkout:
    """A commit's files, stored as an archive."""

    digest: str
    size_bytes: int
    commit: Commit
    # Files that differ from the commit that is live; None: that is not known.
    changed: tuple[str, ...] | None = None
    # Lines of known_hosts that are new.
    host_keys: tuple[str, ...] = ()


class Repositories(Protocol):
    """Where commits are fetched from."""

    async def fetch(self, build: Build, wish: GitWish, secrets: SourceSecrets, output: Output) -> Checkout:
        """Fetches a commit with its submodules. BuildFault when it cannot be had, in words for its owner."""
        ...


@dataclass(frozen=True, slots=True)
class Fetching:
    """Use case of the stage `fetch`."""

    work: Work
    facts: Facts
    builds: Builds
    snapshots: Snapshots
    sources: ProjectSources
    repositories: Repositories
    pushes: PushLedger
    clock: Clock

    async def secrets(self, build: Build) -> SourceSecrets:
        """What opens the build's repository; empty for an upload."""
        if build.git is None or build.snapshot_id:
            return SourceSecrets()
        try:
            return await self.sources.secrets(build)
        except Unavailable:
            raise
        except Failure as failure:
            raise BuildFault(str(failure)) from failure

    async def snapshot(self, build: Build, lease: Lease, secrets: SourceSecrets, output: Output) -> Snapshot:
        """The build's source: the one that is kept, or the commit it is to be, fetched now.

        NothingChanged when no watched file differs from what is live, BuildFault when there is no such source.
        """
        if build.git is None or build.snapshot_id:
            found = await self.snapshots.get(build.snapshot_id, [build.workspace_id])
            if found is None:
                raise BuildFault(f"The source {build.snapshot_id} is not there any more.", hint="Upload it again.")
            return found[0]
        checkout = await self.repositories.fetch(build, await self._wish(build, build.git), secrets, output)
        if checkout.host_keys:
            await self.sources.keep_host_keys(build, checkout.host_keys)
        needless = checkout.changed is not None and not touched(secrets.watch_paths, checkout.changed)
        # A build that is not needed notes no source: whoever tries again looks again.
        snapshot = await self._keep(build, lease, checkout, noted=not needless)
        if needless:
            raise NothingChanged(_unwatched(build.git, checkout))
        return snapshot

    async def _wish(self, build: Build, wish: GitWish) -> GitWish:
        """What is to be fetched; of a push the very commit that was pushed."""
        if not wish.push_id:
            return wish
        push = await self.pushes.get(wish.push_id)
        if push is None or (push.service_id, push.environment_id) != (build.service_id, build.environment_id):
            raise BuildFault(f"There is no push {wish.push_id[:40]} to this service.", hint="Push it again.")
        if push.state is PushState.REFUSED and not push.deployment_id:
            raise BuildFault("The push was cut off, and given up before its deployment was known.", hint="Push again.")
        return replace(wish, ref=push.new_commit)

    async def _keep(self, build: Build, lease: Lease, checkout: Checkout, *, noted: bool) -> Snapshot:
        commit = checkout.commit
        snapshot = Snapshot(
            id=new_id("snapshot", self.clock),
            workspace_id=build.workspace_id,
            service_id=build.service_id,
            digest=checkout.digest,
            size_bytes=checkout.size_bytes,
            created_at=self.clock.now(),
        )
        async with self.work():
            if await self.builds.fetched(lease, snapshot.id if noted else ""):
                await self.snapshots.add(snapshot, build.project_id)
                await self.facts.record(
                    SourceFetched(build.id, build.deployment_id, build.workspace_id, snapshot.id, commit)
                )
        return snapshot


def _unwatched(wish: GitWish, checkout: Checkout) -> str:
    count = len(checkout.changed or ())
    what = f"{count} file{'' if count == 1 else 's'} changed" if count else "No file changed"
    return f"{what} between {wish.base_commit[:7]}, which is live, and {checkout.commit.sha[:7]}; none is watched."

"""kill -9 of the process that builds, at the beginning of each stage and while it writes down the end.

A trigger of the database holds a build where it is to die: the process is then in the middle of saying so.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from libs.blobs.directory import DirectoryBlobs
from libs.db import Database
from libs.kernel.context import Actor
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from libs.protogen.lightrail.project.v1 import project_pb2, project_pb2_grpc
from libs.rpc import Identity, Server
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.build.domain.model import Build, BuildState, Snapshot
from services.build.domain.stages import StageState
from tests.integration.build.keys import provenance_key
from tests.integration.build.sites import archive_of
from tests.integration.build.test_service import ToldProject
from tests.integration.build.world import MIGRATIONS, World

pytestmark = pytest.mark.wheels

ROOT = Path(__file__).resolve().parents[3]
# Two at a time: a build that is held holds three of the process's connections.
ROUNDS = (("fetch", "detect"), ("scan", "build"), ("test", "publish"), ("end",))
LOCK = 4711
GATE = f"""
create table gates (build_id text primary key, stage text not null);
create function gate() returns trigger language plpgsql as $$
begin
    if exists (select from gates g where g.build_id = new.id and (
        (g.stage = 'end' and new.state = 'succeeded')
        or new.stages @> jsonb_build_array(jsonb_build_object('name', g.stage, 'state', 'running'))
    )) then
        perform pg_advisory_xact_lock_shared({LOCK});
    end if;
    return new;
end $$;
create trigger gate before update on builds for each row execute function gate();
"""
WAITING = (
    "select count(*) from pg_locks where locktype = 'advisory' and not granted and objid = $1"
    " and database = (select oid from pg_database where datname = current_database())"
)


class TestedProject(ToldProject):
    """A service with a test."""

    async def GetService(self, request: Any, context: Any) -> project_pb2.GetServiceResponse:
        answer = await super().GetService(request, context)
        answer.service.settings.test_command = "test -s built.txt"
        return answer


@dataclass
class Killable:
    """A process that builds, and all that it leaves."""

    world: World
    environ: Mapping[str, str]
    source: str
    process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "libs.runtime", "--target=build",
            cwd=ROOT, env=self.environ, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

    async def kill(self) -> None:
        assert self.process
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def request(self) -> Build:
        """A build in the queue, of a workspace of its own: none takes over what another made."""
        clock = self.world.clock
        snapshot = Snapshot(
            new_id("snapshot", clock), new_id("workspace", clock), new_id("service", clock), self.source, 10,
            clock.now(),
        )  # fmt: skip
        await self.world.snapshots.add(snapshot, "prj_1")
        build = Build(
            new_id("build", clock), snapshot.workspace_id, "prj_1", snapshot.service_id, "env_1",
            new_id("deployment", clock), snapshot.id, BuildState.QUEUED, clock.now(),
        )  # fmt: skip
        assert await self.world.builds.add(build)
        return build

    async def dies_at(self, stages: tuple[str, ...]) -> list[Build]:
        """Begins a build for each stage, and kills the process while each is at the beginning of its own."""
        db, builds = self.world.db, [await self.request() for _ in stages]
        async with held(db):
            for build, stage in zip(builds, stages, strict=True):
                await db.execute("insert into gates values ($1, $2)", build.id, stage)
            await self.start()

            async def there() -> None:
                assert await db.fetchval(WAITING, LOCK) == len(stages)

            await eventually(there, within=60)
            await self.kill()
        await db.execute("delete from gates")
        # Nobody has to wait for the leases of the dead.
        await db.execute("update builds set lease_until = '2000-01-01' where state = 'running'")
        return builds


@asynccontextmanager
async def held(db: Database) -> AsyncIterator[None]:
    """Nobody passes the gate meanwhile. What the body does is seen by others at once."""
    holding, done = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.tx() as tx:
            await tx.execute("select pg_advisory_xact_lock($1)", LOCK)
            holding.set()
            await done.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(hold())
        await holding.wait()
        try:
            yield
        finally:
            done.set()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest_asyncio.fixture
async def killable(
    open_db: Callable[..., Awaitable[Database]], identity: Identity, tmp_path: Path, open_folder: Path,
    postgres_dsn: Secret[str], nats_url: Secret[str],
) -> AsyncIterator[Killable]:  # fmt: skip
    db, clock = await open_db("build", MIGRATIONS), SystemClock()
    name = await db.fetchval("select current_database()")
    home = open_folder / f"killed-{name}"
    home.mkdir(mode=0o711)
    (home / "source.tar.gz").write_bytes(archive_of({"main.py": "print(1)\n"}))
    blob = await DirectoryBlobs(home / "blobs").put_file(home / "source.tar.gz")
    await db.execute(GATE)

    async def nobody(_credential: str, _method: str) -> Actor:
        raise AssertionError("no tokens here")

    async with AsyncExitStack() as stack:
        told = TestedProject()  # type: ignore[abstract]  # build calls these only
        add = project_pb2_grpc.add_ProjectServiceServicer_to_server
        server = Server("127.0.0.1:0", [(add, told)], identity=identity, exchange=nobody, clock=clock)
        await server.start()
        stack.push_async_callback(server.stop, 0)
        given = {key: value for key, value in os.environ.items() if not key.startswith("LIGHTRAIL_")}
        environ = given | {
            "PYTHONPATH": str(ROOT),
            "LIGHTRAIL_HOME": str(home),
            "LIGHTRAIL_NATS_URL": nats_url.reveal(),
            "LIGHTRAIL_IDENTITY_KEY_FILE": str(tmp_path / "identity.pem"),
            "LIGHTRAIL_PROVENANCE_KEY_FILE": str(provenance_key(home)),
            "LIGHTRAIL_BUILD_DATABASE_URL": f"{postgres_dsn.reveal().rpartition('/')[0]}/{name}",
            "LIGHTRAIL_BUILD_ADDRESS": f"127.0.0.1:{free_port()}",
            "LIGHTRAIL_PROJECT_ADDRESS": f"127.0.0.1:{server.port}",
            "LIGHTRAIL_DEPLOY_ADDRESS": "127.0.0.1:9",
            "LIGHTRAIL_METRICS_ADDRESS": "127.0.0.1:0",
            "LIGHTRAIL_BUILD_CONCURRENCY": "4",
            "LIGHTRAIL_BUILD_MEMORY_BYTES": "256MiB",
        }
        made = Killable(World(db, clock), environ, blob.digest)
        yield made
        if made.process is not None:
            await made.kill()


async def test_a_build_whose_process_is_killed_at_any_stage_ends_right_and_once(killable: Killable) -> None:
    builds = [build for stages in ROUNDS for build in await killable.dies_at(stages)]
    await killable.start()
    world = killable.world

    async def ended() -> None:
        for build in builds:
            now = await world.now(build)
            assert now.state is BuildState.SUCCEEDED, (now.state, now.reason, await world.texts(build))

    await eventually(ended, within=60)
    artifacts = set()
    for build in builds:
        now = await world.now(build)
        artifacts.add(now.artifact_digest)
        # More than once for those that were under way again when the process was killed for the next.
        assert 2 <= now.attempt <= 1 + len(ROUNDS)
        assert {stage.state for stage in now.progress} == {StageState.SUCCEEDED}
        assert await world.told(build) == ["started", "succeeded"]
        texts = await world.texts(build)
        assert 1 <= sum("interrupted" in text for text in texts) < now.attempt
        assert texts[-1] == f"artifact {now.artifact_digest}"
    # The same source: whatever was lost on the way, all made the same.
    assert len(artifacts) == 1

    async def clean() -> None:
        work = Path(killable.environ["LIGHTRAIL_HOME"]) / "build" / "work"
        assert await asyncio.to_thread(lambda: [path.name for path in work.iterdir()]) == []

    await eventually(clean)

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from libs.db import Database
from libs.kernel.errors import Unavailable
from libs.kernel.units import GIB
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.rpc import Identity, Peer
from libs.rpc.server import Server
from libs.runtime.clock import SystemClock
from libs.testing.clock import VirtualClock
from libs.testing.faults import Plan, repeats_harmlessly, survives_failure_at_every_step
from services.build.adapters.deployments import PeerDeployments
from services.build.app.keeping import DiskUse, Needed
from services.build.app.ports import Cache
from services.build.domain.model import Layer
from tests.integration.build.world import World
from tests.integration.build.yard import DAY, TABLES, Yard


@pytest_asyncio.fixture
async def yard(db: Database, tmp_path: Path) -> Yard:
    return Yard(db, tmp_path, count=2)


async def test_the_last_builds_and_the_last_days_stay_and_the_rest_goes_with_its_blobs(yard: Yard) -> None:
    for number in range(4):
        await yard.build(f"v{number}")
        yard.clock.advance(DAY)
    await yard.build("broken", failed=True)
    await yard.loop.step("everything")
    assert await yard.counts("builds", "artifacts", "snapshots") == [5, 4, 5]
    yard.clock.advance(12 * DAY)
    await yard.loop.step("everything")
    # v0 and v1 are older than the window of 14 days; v1 went too, as v2 and v3 are the last two that succeeded.
    assert await yard.held() == {"app of v2", "app of v3", "source of v2", "source of v3", "source of broken"}
    yard.clock.advance(30 * DAY)
    report = await yard.collector.collect()
    assert await yard.held() == {"app of v2", "app of v3", "source of v2", "source of v3"}
    assert await yard.counts("builds", "build_logs", "artifacts", "snapshots") == [2, 0, 2, 2]
    assert (report.log_lines, report.builds, report.snapshots) == (5, 3, 1)
    assert report.blobs.count == 1
    assert report.blobs.bytes == len("source of broken")


async def test_what_deploy_runs_or_could_roll_back_to_stays_however_old(yard: Yard) -> None:
    old, older = await yard.build("old"), await yard.build("older")
    source = await yard.db.fetchval("select snapshot_id from builds where artifact_digest = $1", older)
    for number in range(3):
        await yard.build(f"v{number}")
    yard.deploy.needs = [Needed(old, "", "svc_1", running=False), Needed(older, source, "svc_1", running=True)]
    yard.clock.advance(400 * DAY)
    await yard.loop.step("everything")
    assert yard.deploy.asked == [(2, yard.clock.now() - timedelta(days=14))]
    assert {"app of old", "app of older", "source of older"} < await yard.held()
    assert not {"app of v0", "source of old"} & await yard.held()
    assert await yard.artifacts.get(old, yard.clock.now())


async def test_nothing_goes_while_deploy_cannot_be_asked(yard: Yard) -> None:
    for number in range(4):
        await yard.build(f"v{number}")
    yard.cache("wsp_1", "uv", 10, yard.clock.now())
    yard.clock.advance(400 * DAY)
    before = await yard.counts(*TABLES), await yard.held()
    yard.deploy.away = True
    with pytest.raises(Unavailable):
        await yard.loop.step("everything")
    assert (await yard.counts(*TABLES), await yard.held()) == before


async def test_no_blob_goes_while_deploy_runs_what_build_does_not_know(yard: Yard) -> None:
    await yard.stored.put_bytes(b"stray")
    yard.deploy.needs = [Needed("sha256:" + "7" * 64, "", "svc_1", running=True)]
    yard.clock.advance(DAY)
    await yard.loop.step("everything")
    assert await yard.held() == {"stray"}
    yard.deploy.needs = []
    await yard.loop.step("everything")
    assert await yard.held() == set()


async def test_a_build_that_has_not_ended_keeps_its_source_however_long_it_waits(yard: Yard) -> None:
    await yard.queue()
    yard.clock.advance(400 * DAY)
    await yard.loop.step("everything")
    assert await yard.held() == {"source"}
    assert await yard.counts("builds", "snapshots") == [1, 1]


async def test_of_a_deleted_service_only_what_still_runs_stays(yard: Yard) -> None:
    gone, runs, other = await yard.build("gone"), await yard.build("runs"), await yard.build("other", "svc_2")
    await yard.builds.retire("svc_1", yard.clock.now())
    yard.deploy.needs = [Needed(gone, "", "svc_1", running=False), Needed(runs, "", "svc_1", running=True)]
    yard.clock.advance(2 * 3600)
    await yard.loop.step("everything")
    assert await yard.held() == {"app of runs", "app of other", "source of other"}
    yard.deploy.needs = []
    yard.clock.advance(3600)
    await yard.loop.step("everything")
    assert await yard.held() == {"app of other", "source of other"}
    assert await yard.counts("builds", "build_logs", "artifacts", "retired_services") == [1, 1, 1, 1]
    assert await yard.artifacts.get(other, yard.clock.now())
    yard.clock.advance(40 * DAY)
    await yard.loop.step("everything")
    assert await yard.counts("retired_services") == [0]


async def test_a_source_that_was_never_deployed_goes_after_a_day(yard: Yard) -> None:
    await yard.queue()
    await yard.db.execute("delete from builds")
    yard.clock.advance(DAY - 60)
    await yard.loop.step("everything")
    assert await yard.held() == {"source"}
    yard.clock.advance(120)
    await yard.loop.step("everything")
    assert await yard.held() == set()


async def test_dependencies_go_when_no_build_used_them_for_two_weeks(yard: Yard) -> None:
    for key in ("used", "unused"):
        blob = await yard.blobs.put_bytes(key.encode())
        await yard.layers.keep("wsp_1", key, Layer(blob.digest, "/v", writable=False, size_bytes=1), yard.clock.now())
    yard.clock.advance(10 * DAY)
    assert await yard.layers.find("wsp_1", "used", yard.clock.now())
    yard.clock.advance(10 * DAY)
    await yard.loop.step("everything")
    assert await yard.held() == {"used"}


async def test_caches_over_their_cap_go_least_recently_used_first_but_not_those_of_a_running_build(
    db: Database, tmp_path: Path
) -> None:
    yard = Yard(db, tmp_path, cache_bytes=250)
    now = yard.clock.now()
    busy = yard.cache("wsp_1", "uv", 100, now - timedelta(days=9))
    oldest = yard.cache("wsp_2", "npm", 100, now - timedelta(days=8))
    newer = yard.cache("wsp_2", "uv", 100, now - timedelta(days=7))
    newest = yard.cache("wsp_3", "uv", 100, now)
    (tmp_path / "build" / "cache" / ".leaving-1").mkdir()
    # A cache with room for a second, and one that a build has for itself: neither goes while it is held.
    yard.cache("wsp_3", "yarn", 0, now - timedelta(days=10))
    async with yard.caches.held("wsp_1", ["uv"], _never), yard.caches.held("wsp_3", ["yarn"], _never):
        report = await yard.collector.collect()
    assert [folder.exists() for folder in (busy, oldest, newer, newest)] == [True, False, True, True]
    assert report.caches.bytes == 100
    assert [folder.name for folder in (tmp_path / "build" / "cache").glob(".*")] == []


class Builder:
    """A builder of images that keeps layers in memory."""

    def __init__(self, *kept: Cache) -> None:
        self.kept = {cache.name: cache for cache in kept}
        self.building = False

    async def measure(self) -> list[Cache]:
        return list(self.kept.values())

    async def remove(self, cache: Cache) -> bool:
        return not self.building and self.kept.pop(cache.name, cache) is cache


async def test_layers_of_image_builders_and_tools_caches_share_one_cap(db: Database, tmp_path: Path) -> None:
    yard = Yard(db, tmp_path, cache_bytes=250)
    now = yard.clock.now()
    old, new = (yard.cache("wsp_1", tool, 100, now - timedelta(days=days)) for tool, days in (("uv", 3), ("npm", 1)))
    builder = Builder(*(Cache("", f"layer {days}", 100, now - timedelta(days=days)) for days in (4, 2, 0)))
    yard.collector = replace(yard.collector, builders=(builder,))
    builder.building = True
    busy = await yard.collector.collect(dry_run=True)
    assert (busy.caches.count, busy.built.count) == (1, 2)
    assert (old.exists(), len(builder.kept)) == (True, 3), "a rehearsal removes nothing"
    busy = await yard.collector.collect()
    assert (busy.caches.count, busy.built.count) == (1, 0), "what a build uses stays until the next time"

    builder.building = False
    report = await yard.collector.collect()
    assert (report.caches.count, report.built.count, report.built.bytes) == (0, 2, 200)
    assert (old.exists(), new.exists(), set(builder.kept)) == (False, True, {"layer 0"})
    row = next(row for row in yard.collector.told(report).items if row.what == "image layers")
    assert row.freed.bytes == 200
    assert "above the cap" in row.why


async def test_uploads_that_were_cut_off_go_after_a_day(yard: Yard) -> None:
    incoming = yard.home / "build" / "incoming"
    incoming.mkdir()
    (incoming / "half").write_bytes(bytes(7))
    assert (await yard.collector.collect()).uploads.count == 0
    yard.clock.advance(2 * DAY)
    assert (await yard.collector.collect()).uploads.bytes == 7
    assert list(incoming.iterdir()) == []


Parts = tuple[Callable[[], Awaitable[object]], Callable[[], Awaitable[object]]]


async def littered(db: Database, home: Path, plan: Plan) -> Parts:
    """A yard with something to remove of every kind: CollectLoop, and what is left."""
    await db.execute(f"truncate {', '.join(TABLES)} cascade")
    await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
    yard = Yard(db, home, plan=plan, count=1, cache_bytes=5)
    for number in range(3):
        await yard.build(f"v{number}")
    await yard.build("gone", "svc_2")
    await yard.builds.retire("svc_2", yard.clock.now())
    blob = await yard.blobs.put_bytes(b"dependencies")
    await yard.layers.keep("wsp_1", "key", Layer(blob.digest, "/v", writable=False, size_bytes=1), yard.clock.now())
    yard.cache("wsp_1", "uv", 10, yard.clock.now())
    yard.clock.advance(60 * DAY)

    async def state() -> object:
        caches = [cache.name for cache in await yard.caches.measure()]
        return await yard.counts(*TABLES), sorted(await yard.held()), caches

    return lambda: yard.loop.step("everything"), state


async def test_the_collect_loop_repeats_harmlessly(db: Database, tmp_path: Path) -> None:
    await repeats_harmlessly(lambda plan: littered(db, tmp_path / "home", plan), times=2)


async def test_the_collect_loop_survives_failure_at_every_step(db: Database, tmp_path: Path) -> None:
    # CollectLoop: whatever call fails, before or after its effect, the same is left in the end.
    steps = await survives_failure_at_every_step(lambda plan: littered(db, tmp_path / "home", plan), times=2)
    assert steps > 15


async def test_service_deleted_repeats_harmlessly_and_survives_failure_at_every_step(db: Database) -> None:
    async def build(plan: Plan) -> Parts:
        await db.execute("truncate retired_services")
        world = World(db, VirtualClock(), plan)

        async def state() -> Sequence[object]:
            return [dict(row) for row in await db.fetch("select service_id from retired_services")]

        return lambda: world.reactions.service_deleted("svc_1"), state

    await repeats_harmlessly(build)
    await survives_failure_at_every_step(build)


async def test_deploy_is_asked_over_the_wire(identity: Identity, system_clock: SystemClock) -> None:
    asked: list[deploy_pb2.ListArtifactsInUseRequest] = []

    class Told(deploy_pb2_grpc.DeploymentServiceServicer):
        async def ListArtifactsInUse(self, request: Any, context: Any) -> deploy_pb2.ListArtifactsInUseResponse:
            asked.append(request)
            one = deploy_pb2.ArtifactInUse(artifact_digest="d", snapshot_id="s", service_id="svc_1", running=True)
            return deploy_pb2.ListArtifactsInUseResponse(artifacts=[one])

    async def nobody(_credential: str, _method: str) -> Any:
        raise AssertionError("no tokens here")

    servicer = (deploy_pb2_grpc.add_DeploymentServiceServicer_to_server, Told())  # type: ignore[abstract]
    server = Server("127.0.0.1:0", [servicer], identity=identity, exchange=nobody, clock=system_clock)
    await server.start()
    peer = Peer(f"127.0.0.1:{server.port}", identity, system_clock)
    try:
        since = system_clock.now()
        assert await PeerDeployments(peer).needed(10, since) == [Needed("d", "s", "svc_1", running=True)]
        assert asked[0].keep_count == 10
        assert abs(asked[0].since.ToDatetime(tzinfo=since.tzinfo) - since) < timedelta(milliseconds=1)
    finally:
        await peer.close()
        await server.stop(0)


def _never(tool: str) -> AbstractAsyncContextManager[None]:
    raise AssertionError(f"{tool} was held by another")


async def test_a_rehearsal_says_what_would_go_with_why_and_removes_nothing(db: Database, tmp_path: Path) -> None:
    yard = Yard(db, tmp_path, cache_bytes=50)
    cache = yard.cache("wsp_1", "uv", 100, yard.clock.now())
    layer = await yard.blobs.put_bytes(b"dependencies")
    await yard.layers.keep("wsp_1", "k", Layer(layer.digest, "/v", writable=False, size_bytes=1), yard.clock.now())
    yard.clock.advance(20 * DAY)
    said = await yard.collector.collect(dry_run=True)
    assert await yard.garbage.references() == {layer.digest}
    assert cache.exists()
    assert await yard.reports.last() is None
    done = await yard.collector.collect()
    # What was said is what went, and the report of it is kept.
    assert (said.layers, said.caches, said.blobs) == (done.layers, done.caches, done.blobs)
    assert (done.layers, done.caches.bytes, done.blobs.count) == (1, 100, 1)
    last = await yard.collector.last()
    assert {one.what for one in last.items} == {"dependencies", "downloads", "blobs"}
    assert all(one.why for one in last.items)
    assert not cache.exists()
    assert (await yard.collector.collect()).files.count == 0


async def test_above_the_high_watermark_caches_go_until_the_low_one_and_no_further(
    db: Database, tmp_path: Path
) -> None:
    yard = Yard(db, tmp_path, cache_bytes=10_000)
    now = yard.clock.now()
    ages = {"uv": 3, "npm": 2, "pnpm": 1}
    old, middle, new = (yard.cache("wsp_1", tool, 100, now - timedelta(days=age)) for tool, age in ages.items())
    # One part in a hundred more than the low watermark: one cache is enough.
    yard.disk.now = DiskUse(10_000, 900)
    yard.collector = replace(yard.collector, window=replace(yard.collector.window, low_percent=90))
    assert (await yard.collector.collect(dry_run=True)).caches.count == 1
    report = await yard.collector.collect()
    assert (report.pressed, report.caches.count) == (True, 1)
    assert [folder.exists() for folder in (old, middle, new)] == [False, True, True]
    # Below the high watermark, and on a disk with much room, nothing goes that may stay.
    for disk in (DiskUse(10_000, 1_001), DiskUse(1_000 * GIB, 50 * GIB)):
        yard.disk.now = disk
        report = await yard.collector.collect()
        assert (report.pressed, report.caches.count) == (False, 0)


async def test_on_a_full_disk_what_is_kept_for_days_goes_and_what_a_rollback_needs_stays(
    db: Database, tmp_path: Path
) -> None:
    yard = Yard(db, tmp_path, count=1)
    for number in range(3):
        await yard.build(f"v{number}")
    yard.clock.advance(2 * DAY)
    assert (await yard.collector.collect()).artifacts == 0
    yard.disk.now = DiskUse(100 * GIB, GIB)
    report = await yard.collector.collect()
    assert report.pressed
    assert yard.deploy.asked[-1][1] > yard.clock.now() - timedelta(hours=2)
    assert await yard.held() == {"app of v2", "source of v2"}

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from contextvars import Context
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from libs.db import Database
from libs.kernel.errors import Unavailable
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.build.adapters.blobs import SweptBlobs
from tests.integration.build.world import running
from tests.integration.build.yard import DAY, Yard

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def yard(db: Database, tmp_path: Path) -> Yard:
    return Yard(db, tmp_path, count=2)


async def test_an_upload_or_build_under_way_never_loses_its_blob(yard: Yard) -> None:
    young = await yard.blobs.put_bytes(b"not yet in a row")
    foreign = yard.home / "blobs" / "sha256" / "ab" / "note.txt"
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("not a blob")
    os.utime(foreign, (0, 0))
    yard.clock.advance(3600)
    await yard.loop.step("everything")
    assert await yard.stored.exists(young.digest)
    yard.clock.advance(3600)
    await yard.loop.step("everything")
    assert not await yard.stored.exists(young.digest)
    assert foreign.read_text() == "not a blob"


class CountingClock(SystemClock):
    """The machine's time, and how often someone slept."""

    naps = 0

    async def sleep(self, seconds: float) -> None:
        self.naps += 1
        await super().sleep(seconds)


async def test_a_blob_that_is_stored_again_while_it_is_swept_stays(db: Database, tmp_path: Path) -> None:
    stored, clock = Yard(db, tmp_path).stored, CountingClock()
    blobs = SweptBlobs(stored, tmp_path / "lock", clock)
    blob, unwanted = await blobs.put_bytes(b"same"), await blobs.put_bytes(b"unwanted")
    for one in (blob, unwanted):
        await asyncio.to_thread(os.utime, await blobs.path(one.digest), (0, 0))
    async with AsyncExitStack() as stack:
        writer = await stack.enter_async_context(blobs.writer())
        async with running(_sweep(blobs, clock.now() - timedelta(hours=1))) as sweeping:
            # The sweep has chosen both and waits for the writer, who stores the same bytes as one.
            await eventually(lambda: clock.naps > 0)
            await writer.write(b"same")
            await stack.aclose()
            await sweeping
    assert await blobs.exists(blob.digest)
    assert not await blobs.exists(unwanted.digest)


async def test_a_sweep_leaves_its_rest_to_the_next_when_something_is_stored_all_the_time(yard: Yard) -> None:
    blob = await yard.blobs.put_bytes(b"old")
    async with yard.blobs.writer():
        with pytest.raises(Unavailable, match="stored all the time"):
            await yard.blobs.sweep((), EPOCH, yard.clock.now() + timedelta(days=1))
    assert await yard.blobs.exists(blob.digest)


async def _sweep(blobs: SweptBlobs, before: datetime) -> None:
    await blobs.sweep((), EPOCH, before)


async def test_an_artifact_made_again_during_a_collection_stays(yard: Yard) -> None:
    digest = await yard.build("v0")
    artifact = await yard.artifacts.get(digest, yard.clock.now())
    assert artifact
    await yard.db.execute("update builds set state = 'failed', artifact_digest = ''")
    yard.clock.advance(400 * DAY)
    keep = await yard.collector._keep(14)

    async def waiting() -> bool:
        return bool(await yard.db.fetchval("select exists (select from pg_locks where not granted)"))

    async with AsyncExitStack() as stack:
        await stack.enter_async_context(yard.db.tx())
        await yard.artifacts.add(artifact, "wsp_1", yard.clock.now())
        # The collection has its own connection: it waits for the build's transaction, then sees a row that is young.
        removing = asyncio.get_running_loop().create_task(yard.garbage.artifacts(keep), context=Context())
        await eventually(waiting)
        await stack.aclose()
    assert await removing == 0
    assert await yard.artifacts.get(digest, yard.clock.now()) == artifact


async def test_an_artifact_that_was_asked_for_a_moment_ago_stays(yard: Yard) -> None:
    digest = await yard.build("v0")
    await yard.db.execute("update builds set state = 'failed', artifact_digest = ''")
    yard.clock.advance(400 * DAY)
    assert await yard.artifacts.get(digest, yard.clock.now())
    await yard.loop.step("everything")
    assert await yard.counts("artifacts") == [1]
    assert "app of v0" in await yard.held()
    yard.clock.advance(2 * 3600)
    await yard.loop.step("everything")
    assert await yard.counts("artifacts") == [0]
    assert await yard.held() == set()


async def test_blobs_from_before_the_database_was_made_stay_for_the_one_that_is_restored(yard: Yard) -> None:
    restored = await yard.stored.put_bytes(b"of the database that is about to be restored")
    began = await yard.garbage.began()
    earlier = began.timestamp() - 60
    await asyncio.to_thread(os.utime, await yard.stored.path(restored.digest), (earlier, earlier))
    yard.clock.advance(400 * DAY)
    await yard.loop.step("everything")
    assert await yard.stored.exists(restored.digest)
    # A dump brings along when its tables were made.
    await yard.db.execute("update migrations set applied_at = $1", began - timedelta(days=9))
    await yard.loop.step("everything")
    assert not await yard.stored.exists(restored.digest)

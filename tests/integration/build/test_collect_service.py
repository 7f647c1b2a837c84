"""The collector as the runtime opens it, and as builds on this machine use its caches."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from libs.blobs.directory import DirectoryBlobs
from libs.bus import MemoryBus
from libs.kernel.context import Actor
from libs.protogen.lightrail.deploy.v1 import deploy_pb2, deploy_pb2_grpc
from libs.rpc import Identity
from libs.rpc.server import Server
from libs.runtime import Host
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.build.main import MODULE
from tests.integration.build.keys import provenance_key
from tests.integration.build.sites import Site
from tests.integration.build.world import MIGRATIONS


class Told(deploy_pb2_grpc.DeploymentServiceServicer):
    """A deploy that needs nothing."""

    def __init__(self) -> None:
        self.asked: list[deploy_pb2.ListArtifactsInUseRequest] = []

    async def ListArtifactsInUse(self, request: Any, context: Any) -> deploy_pb2.ListArtifactsInUseResponse:
        self.asked.append(request)
        return deploy_pb2.ListArtifactsInUseResponse()


async def nobody(_credential: str, _method: str) -> Actor:
    raise AssertionError("no tokens here")


async def test_the_running_service_asks_deploy_and_removes_a_blob_that_no_row_names(
    open_db: Callable[..., Any], identity: Identity, open_folder: Path, postgres_dsn: Any
) -> None:
    clock, told = SystemClock(), Told()  # type: ignore[abstract]  # build calls this one only
    db = await open_db("build", MIGRATIONS)
    name = await db.fetchval("select current_database()")
    await db.execute("update migrations set applied_at = 'epoch'")
    home = open_folder / f"collect-{name}"
    home.mkdir(mode=0o711)
    stored = DirectoryBlobs(home / "blobs")
    stray, young = await stored.put_bytes(b"stray"), await stored.put_bytes(b"young")
    await asyncio.to_thread(os.utime, await stored.path(stray.digest), (0, 0))
    async with AsyncExitStack() as stack:
        servicer = (deploy_pb2_grpc.add_DeploymentServiceServicer_to_server, told)
        deploy = Server("127.0.0.1:0", [servicer], identity=identity, exchange=nobody, clock=clock)
        await deploy.start()
        stack.push_async_callback(deploy.stop, 0)
        environ = {
            "LIGHTRAIL_HOME": str(home),
            "LIGHTRAIL_PROVENANCE_KEY_FILE": str(provenance_key(home)),
            "LIGHTRAIL_PROJECT_ADDRESS": "127.0.0.1:9",
            "LIGHTRAIL_DEPLOY_ADDRESS": f"127.0.0.1:{deploy.port}",
            "LIGHTRAIL_BUILD_DATABASE_URL": f"{postgres_dsn.reveal().rpartition('/')[0]}/{name}",
            "LIGHTRAIL_BUILD_COLLECT_PERIOD_SECONDS": "1",
            "LIGHTRAIL_BUILD_KEEP_COUNT": "3",
        }
        host = Host("build", environ, clock, identity, MemoryBus())
        stack.push_async_callback(host.close)
        opened = await stack.enter_async_context(MODULE.open(host))
        assert {follow.source for follow in opened.follows} == {"deploy", "project"}
        tasks = [asyncio.ensure_future(loop()) for loop in opened.loops]

        async def swept() -> bool:
            return not await stored.exists(stray.digest)

        try:
            await eventually(swept)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    assert await stored.exists(young.digest)
    assert told.asked[0].keep_count == 3


async def test_a_build_marks_the_caches_that_it_uses(open_folder: Path) -> None:
    site = await Site.open(open_folder / "marks")
    await site.build({"main.py": "1\n"})
    caches = [cache for cache in (site.home / "build" / "cache" / "wsp_1").iterdir() if cache.is_dir()]
    assert caches
    for cache in caches:
        os.utime(cache, (0, 0))
    site.index.kept.clear()
    await site.build({"main.py": "1\n"})
    assert all(cache.stat().st_mtime > 0 for cache in caches)

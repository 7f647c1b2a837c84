from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest_asyncio

from libs.db import Database
from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from services.deploy.app.ports import ArtifactInUse
from services.deploy.app.sampling import Sampling
from services.deploy.rpc.servicer import DeploymentServicer
from tests.integration.deploy.world import OWNER, UPLOAD, World, deploy, empty_world

MIGRATIONS = Path(__file__).parents[3] / "services" / "deploy" / "store" / "migrations"
LATER = datetime(2030, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def world(open_db: Callable[..., Awaitable[Database]]) -> World:
    return await empty_world(await open_db("deploy", MIGRATIONS))


async def in_use(world: World, keep_count: int, since: datetime = LATER) -> dict[str, bool]:
    found = await world.queries.artifacts_in_use(keep_count, since)
    return {one.artifact_digest: one.running for one in found}


async def test_what_runs_is_in_use_however_old_and_the_rest_only_for_rollbacks(world: World) -> None:
    for number in (1, 2, 3):
        await deploy(world, f"sha256:{number}")
    assert await in_use(world, 0) == {"sha256:3": True}
    assert await in_use(world, 2) == {"sha256:2": False, "sha256:3": True}
    assert await in_use(world, 0, datetime(2020, 1, 1, tzinfo=UTC)) == {
        "sha256:1": False,
        "sha256:2": False,
        "sha256:3": True,
    }


async def test_a_rollback_keeps_the_old_artifact_in_use_and_a_queued_deployment_its_source(world: World) -> None:
    first = await deploy(world, "sha256:1")
    await deploy(world, "sha256:2")
    await world.commands.rollback(OWNER, first.id)
    assert await in_use(world, 0) == {"sha256:1": True, "sha256:2": True}
    await world.settle()
    assert await in_use(world, 0) == {"sha256:1": True}
    await world.commands.redeploy(OWNER, first.id)
    assert ArtifactInUse("", "snp_a", "svc_a", running=True) in await world.queries.artifacts_in_use(0, LATER)


async def test_what_failed_before_it_was_live_takes_no_place_in_the_rollback_window(world: World) -> None:
    await deploy(world, "sha256:1")
    failed = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    await world.react(world.reactions.build_failed(failed.id, "no"))
    await world.react(world.reactions.service_deleted(failed.service_id))
    await world.settle(200)
    assert await in_use(world, 1) == {"sha256:1": False}


async def test_build_is_told_over_the_wire_and_an_unset_time_keeps_everything(world: World) -> None:
    await deploy(world, "sha256:1")
    await deploy(world, "sha256:2")
    sampling = Sampling(world.store, world.runtime)
    served = DeploymentServicer(world.commands, world.queries, sampling, wake=lambda _pair: None)
    request = deploy_pb2.ListArtifactsInUseRequest()
    everything = await served.ListArtifactsInUse(request, None)
    assert [one.artifact_digest for one in everything.artifacts] == ["sha256:1", "sha256:2"]
    request.since.FromDatetime(LATER)
    running = await served.ListArtifactsInUse(request, None)
    wanted = deploy_pb2.ArtifactInUse(artifact_digest="sha256:2", snapshot_id="snp_a", service_id="svc_a", running=True)
    assert list(running.artifacts) == [wanted]

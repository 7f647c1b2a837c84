"""What was built before is taken over when everything it was made of is the same, and only then."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from libs.db import Database
from libs.plans.plan import PlanSettings
from libs.runtime.clock import SystemClock
from services.build.app.building import ScanReport
from services.build.app.ports import Variables
from services.build.domain.model import Build, BuildState
from services.build.domain.stages import StageState
from tests.integration.build.test_stages import ToldScanner
from tests.integration.build.world import World

SAME = {"TOKEN": "s3cret-value", "LIGHTRAIL_DEPLOYMENT_ID": "dep_1"}


async def again(world: World, workspace: str = "wsp_1") -> Build:
    """One more build of the same source, as it ended."""
    build = await world.request(workspace)
    await world.drive()
    return await world.now(build)


def stages(build: Build) -> dict[str, StageState]:
    return {stage.name.value: stage.state for stage in build.progress}


async def test_the_same_again_is_taken_over_and_says_so(world: World) -> None:
    world.projects.told = PlanSettings(test_command="pytest")
    world.projects.given = Variables(SAME, frozenset({"s3cret-value"}))
    first = await again(world)
    world.projects.given = Variables(SAME | {"LIGHTRAIL_DEPLOYMENT_ID": "dep_2"}, frozenset({"s3cret-value"}))
    second = await again(world)
    assert world.builder.built == 1
    assert second.state is BuildState.SUCCEEDED
    assert (second.artifact_digest, second.provenance_digest) == (first.artifact_digest, first.provenance_digest)
    assert stages(second) == dict.fromkeys(("fetch", "detect", "publish"), StageState.SUCCEEDED) | dict.fromkeys(
        ("scan", "build", "test"), StageState.SKIPPED
    )
    assert any(f"Reused: {first.id}" in text and "NO_CACHE=1" in text for text in await world.texts(second))
    assert await world.told(second) == ["started", "succeeded"]
    # What is kept of the inputs says nothing of the values.
    kept = await world.db.fetchval("select string_agg(inputs, ' ') from builds")
    assert "s3cret" not in kept
    third = await again(world)
    assert (world.builder.built, third.artifact_digest) == (1, first.artifact_digest)


CHANGES: dict[str, Callable[[World], None]] = {
    "a variable": lambda world: setattr(world.projects, "given", Variables({"A": "2"})),
    "one variable less": lambda world: setattr(world.projects, "given", Variables({})),
    "the plan": lambda world: setattr(world.projects, "told", PlanSettings(build_command="make")),
    "the test": lambda world: setattr(world.projects, "told", PlanSettings(test_command="make test")),
    "the machine": lambda world: setattr(world.builder, "runtime", "3.12"),
    "NO_CACHE": lambda world: setattr(world.projects, "given", Variables({"A": "1", "NO_CACHE": "1"})),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_when_something_differs_it_is_built(world: World, what: str) -> None:
    world.projects.given = Variables({"A": "1"})
    await again(world)
    CHANGES[what](world)
    second = await again(world)
    assert world.builder.built == 2, f"{what} changed, and nothing was built"
    assert stages(second)["build"] is StageState.SUCCEEDED


async def test_without_cache_is_built_every_time(world: World) -> None:
    world.projects.given = Variables({"NO_CACHE": "1"})
    await again(world)
    await again(world)
    assert world.builder.built == 2


async def test_what_depends_on_things_unknown_is_built_every_time(world: World) -> None:
    world.builder.runtime = ""
    await again(world)
    await again(world)
    assert world.builder.built == 2


async def test_another_source_is_built(world: World) -> None:
    await again(world)
    build = await world.request("wsp_1")
    await world.db.execute("update snapshots set digest = $2 where id = $1", build.snapshot_id, "sha256:" + "7" * 64)
    await world.drive()
    assert world.builder.built == 2


async def test_nothing_is_taken_over_from_another_workspace(world: World) -> None:
    first, other = await again(world, "wsp_1"), await again(world, "wsp_2")
    assert world.builder.built == 2
    assert first.artifact_digest == other.artifact_digest
    # Not even when the fingerprint of another's build is the same.
    inputs = await world.db.fetchval("select inputs from builds where id = $1", first.id)
    assert inputs != await world.db.fetchval("select inputs from builds where id = $1", other.id)
    assert await world.builds.reusable("wsp_2", inputs) is None


@pytest.mark.parametrize("lost", ["a layer", "the artifact", "the provenance"])
async def test_what_is_not_whole_any_more_is_built_again(world: World, lost: str) -> None:
    first = await again(world)
    if lost == "a layer":
        world.builder.lost.add(first.artifact_digest)
    elif lost == "the artifact":
        await world.db.execute("delete from artifacts")
    else:
        world.attestations.kept.clear()
    second = await again(world)
    assert world.builder.built == 2
    assert second.state is BuildState.SUCCEEDED
    assert await world.attestations.read(second.provenance_digest)


async def test_what_failed_is_tried_again(world: World) -> None:
    world.builder.files = {"main.zig": ""}
    await again(world)
    world.builder.files = {"main.py": "print(1)"}
    assert (await again(world)).state is BuildState.SUCCEEDED
    assert world.builder.built == 1


async def test_what_is_taken_over_is_scanned_by_todays_rules(db: Database) -> None:
    scanner = ToldScanner()
    world = World(db, SystemClock(), scanner=scanner)
    await again(world)
    scanner.report = ScanReport("", "The scan found a private key in deploy.pem.")
    second = await again(world)
    assert (second.state, second.reason) == (BuildState.FAILED, scanner.report.blocked)
    assert world.builder.built == 1

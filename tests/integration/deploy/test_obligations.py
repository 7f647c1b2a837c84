"""What RolloutLoop, ReaperLoop and every reaction of deploy owe: repeating and failing anywhere change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from libs.db import Database
from libs.testing.faults import Plan, repeats_harmlessly, survives_failure_at_every_step
from services.deploy.app.reactions import Commit
from services.deploy.domain.model import Settings
from services.deploy.store import MIGRATIONS
from tests.integration.deploy.world import OWNER, UPLOAD, World, deploy, empty_world

OpenDatabase = Callable[..., Awaitable[Database]]
Act = Callable[[World, str], Awaitable[None]]


async def new_version(world: World, second: str) -> None:
    """RolloutLoop replaces the first version, ReaperLoop clears up after it."""
    await world.react(world.reactions.build_started(second))
    await world.react(world.reactions.build_succeeded(second, "sha256:2"))


async def failed_build(world: World, second: str) -> None:
    await world.react(world.reactions.build_failed(second, "flask==99 does not exist"))


async def cancelled_build(world: World, second: str) -> None:
    await world.react(world.reactions.build_cancelled(second))


async def fetched_commit(world: World, second: str) -> None:
    commit = Commit("c" * 40, "First things first", "Ada")
    await world.react(world.reactions.source_fetched(second, "snp_c", commit))
    await world.react(world.reactions.build_succeeded(second, "sha256:2"))


async def skipped_build(world: World, second: str) -> None:
    await world.react(world.reactions.build_skipped(second, "No watched file changed."))


async def deleted_service(world: World, _second: str) -> None:
    await world.react(world.reactions.service_deleted("svc_a"))


async def new_variables(world: World, second: str) -> None:
    """A follower's cursor keeps this reaction from running twice; the failure before its commit is what is tried."""
    await world.react(world.reactions.build_cancelled(second))
    if len(await world.store.find(OWNER, world.everything, 10)) < 3:
        await world.react(world.reactions.variables_changed("svc_a", "env_a", version=2, skip_deploys=False))


# Calls of ports that change nothing.
READS = frozenset(
    {"get", "find", "extra_variables", "open_pairs", "of_pair", "live", "unfinished_of_service", "release", "route"}
    | {"instances", "instances_in", "instance", "observe", "source", "service", "allow", "render", "snapshot_service"}
    | {"artifact", "generation", "in_flight"}
)
CASES = [new_version, failed_build, cancelled_build, fetched_commit, skipped_build, deleted_service, new_variables]


def scenario(db: Database, act: Act) -> Callable[[Plan], Awaitable[tuple[Callable[[], Awaitable[object]], ...]]]:
    """One version is live, a second waits for its build; then this happens, and the loops run."""

    async def build(faults: Plan) -> tuple[Callable[[], Awaitable[object]], ...]:
        world = await empty_world(db, faults)
        world.others.settings = Settings(drain_seconds=1)
        fail_at, faults.fail_at = faults.fail_at, -1
        await deploy(world)
        second = await world.commands.create(OWNER, UPLOAD)
        await world.settle()
        faults.calls, faults.fail_at = 0, fail_at
        faults.names.clear()

        async def once() -> None:
            await act(world, second.id)
            await world.settle()

        return once, world.outcome

    return build


@pytest.mark.parametrize("act", CASES)
async def test_repeating_is_harmless(open_db: OpenDatabase, act: Act) -> None:
    await repeats_harmlessly(scenario(await open_db("deploy", MIGRATIONS), act), times=2)  # type: ignore[arg-type]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("act", CASES)
async def test_failing_at_any_step_changes_nothing(open_db: OpenDatabase, act: Act) -> None:
    build = scenario(await open_db("deploy", MIGRATIONS), act)
    steps = await survives_failure_at_every_step(build, times=2, reads=READS)  # type: ignore[arg-type]
    assert steps > 10

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from libs.db import Database
from libs.kernel.errors import Conflict, Invalid, NotFound, Unavailable
from services.deploy.app.commands import NewDeployment
from services.deploy.app.ports import Filter, LogQuery
from services.deploy.domain.machine import State
from services.deploy.domain.model import Endpoint
from services.deploy.store import MIGRATIONS
from tests.integration.deploy.world import OWNER, STRANGER, UPLOAD, World, deploy, empty_world

OpenDatabase = Callable[..., Awaitable[Database]]


@pytest.fixture
async def world(open_db: OpenDatabase) -> World:
    return await empty_world(await open_db("deploy", MIGRATIONS))


async def test_upload_becomes_active_and_each_state_is_told(world: World) -> None:
    made = await deploy(world)
    assert made.state is State.ACTIVE
    assert made.url == "http://web-production.localhost:8080"
    assert await world.subjects() == ["queued", "initializing", "requested", "building", "deploying", "went_live"]


async def test_second_version_replaces_the_first(world: World) -> None:
    first = await deploy(world)
    second = await deploy(world, "sha256:2")
    assert (await world.store.get(OWNER, first.id)).state is State.REMOVED
    outcome = await world.outcome()
    assert outcome["running"] == outcome["serving"] == [1]
    assert second.state is State.ACTIVE


async def test_a_database_older_than_the_routers_goes_on_above_what_the_router_has(world: World) -> None:
    first = await deploy(world)
    # Published after the copy of the database was made that it was put back from.
    (pair, _, generation) = world.others.published[-1]
    world.others.published.append((pair, (Endpoint("ins_unknown", 9),), generation + 6))
    made = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    await world.react(world.reactions.build_succeeded(made.id, "sha256:2"))
    with pytest.raises(Unavailable, match="router was ahead"):
        await world.settle()
    assert (await world.store.get(OWNER, made.id)).state is State.DEPLOYING, "not live before it is published"
    await world.settle()
    assert (await world.store.get(OWNER, made.id)).state is State.ACTIVE
    assert (await world.store.get(OWNER, first.id)).state is State.REMOVED
    assert world.others.published[-1][2] > generation + 6
    assert (await world.outcome())["serving"] == [1]


async def test_what_the_router_refuses_for_another_reason_changes_no_generation(world: World) -> None:
    await deploy(world)
    (pair, _, _) = world.others.published[-1]
    before = await world.store.route(pair)
    world.others.refusal = "The edge refuses it."
    made = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    await world.react(world.reactions.build_succeeded(made.id, "sha256:2"))
    with pytest.raises(Conflict, match="edge refuses"):
        await world.settle()
    assert await world.store.route(pair) == before


async def test_cancelled_deployment_is_never_resurrected_by_a_late_build(world: World) -> None:
    made = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    await world.commands.delete(OWNER, made.id)
    await world.react(world.reactions.build_succeeded(made.id, "sha256:1"))
    await world.settle()
    assert (await world.store.get(OWNER, made.id)).state is State.REMOVED
    assert (await world.outcome())["running"] == []


async def test_failed_build_leaves_the_old_version_and_tells_why(world: World) -> None:
    first = await deploy(world)
    made = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    await world.react(world.reactions.build_failed(made.id, "pip could not find flask==99"))
    await world.settle()
    assert (await world.store.get(OWNER, made.id)).reason == "pip could not find flask==99"
    assert (await world.store.get(OWNER, first.id)).state is State.ACTIVE


async def test_rollback_starts_the_old_artifact_with_the_old_variables(world: World) -> None:
    first = await deploy(world)
    world.others.variables = {"NAME": "new"}
    await deploy(world, "sha256:2")
    back = await world.commands.rollback(OWNER, first.id)
    await world.settle()
    release = await world.store.release(back.id)
    assert release.artifact.digest == "sha256:1"
    assert b'"NAME":"value"' in release.sealed_variables
    assert (await world.store.get(OWNER, back.id)).state is State.ACTIVE


async def test_rollback_to_what_was_never_live_is_refused(world: World) -> None:
    made = await world.commands.create(OWNER, UPLOAD)
    with pytest.raises(Conflict, match="never live"):
        await world.commands.rollback(OWNER, made.id)


async def test_changed_variables_start_the_same_artifact_again(world: World) -> None:
    await deploy(world)
    world.others.variables = {"NAME": "new"}
    await world.react(world.reactions.variables_changed("svc_a", "env_a", version=2, skip_deploys=False))
    await world.settle()
    newest = (await world.store.find(OWNER, Filter(), 1))[0]
    assert (newest.trigger, newest.state, newest.artifact_digest) == ("variables", State.ACTIVE, "sha256:1")
    assert b'"NAME":"new"' in (await world.store.release(newest.id)).sealed_variables


async def test_variables_that_a_deployment_started_with_do_not_start_it_again(world: World) -> None:
    world.others.version = 2
    await deploy(world)
    for version, count in ((1, 1), (2, 1), (3, 2)):
        await world.react(world.reactions.variables_changed("svc_a", "env_a", version=version, skip_deploys=False))
        await world.settle()
        assert len(await world.store.find(OWNER, Filter(), 10)) == count, version


async def test_variable_change_never_replaces_code_that_is_on_its_way(world: World) -> None:
    await deploy(world)
    made = await world.commands.create(OWNER, UPLOAD)
    for state in ("queued", "building"):
        await world.react(world.reactions.variables_changed("svc_a", "env_a", version=2, skip_deploys=False))
        assert len(await world.store.find(OWNER, Filter(), 10)) == 2, state
        await world.settle()
        await world.react(world.reactions.build_started(made.id))
    await world.react(world.reactions.build_succeeded(made.id, "sha256:2"))
    await world.react(world.reactions.variables_changed("svc_a", "env_a", version=2, skip_deploys=False))
    await world.settle()
    newest = (await world.store.find(OWNER, Filter(), 1))[0]
    assert (newest.trigger, newest.state, newest.artifact_digest) == ("variables", State.ACTIVE, "sha256:2")


async def test_a_deployment_whose_queued_build_was_superseded_is_skipped_for_the_newer(
    world: World,
) -> None:
    first = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    second = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    assert (await world.store.get(OWNER, second.id)).state is State.QUEUED
    for _ in range(2):  # a fact may come twice
        await world.react(world.reactions.build_cancelled(first.id, superseded_by=second.id))
    await world.settle()
    ended = await world.store.get(OWNER, first.id)
    assert (ended.state, ended.reason) == (State.SKIPPED, f"Superseded by {second.id}.")
    assert (await world.store.get(OWNER, second.id)).state is State.INITIALIZING


async def test_a_build_that_was_called_off_ends_its_deployment_as_removed(world: World) -> None:
    made = await world.commands.create(OWNER, UPLOAD)
    await world.settle()
    await world.react(world.reactions.build_cancelled(made.id))
    assert (await world.store.get(OWNER, made.id)).state is State.REMOVED


async def test_new_variables_start_the_code_that_is_live_when_their_turn_comes(world: World) -> None:
    await deploy(world)
    await world.react(world.reactions.variables_changed("svc_a", "env_a", version=2, skip_deploys=False))
    queued = (await world.store.find(OWNER, Filter(), 1))[0]
    await world.db.execute("update deployments set artifact_digest = 'sha256:new' where state = 'active'")
    await world.settle()
    assert (await world.store.get(OWNER, queued.id)).artifact_digest == "sha256:new"


async def test_rollback_beyond_the_window_is_refused(world: World) -> None:
    first = await deploy(world)
    await deploy(world, "sha256:2")
    long_ago = world.clock.now() + timedelta(days=1)
    assert await world.store.forget_old(long_ago, keep=2) == 0
    assert await world.store.forget_old(long_ago, keep=0) == 1
    with pytest.raises(Conflict, match="window"):
        await world.commands.rollback(OWNER, first.id)


async def test_narrow_token_gets_whole_pages(world: World) -> None:
    for _ in range(3):
        await world.commands.create(OWNER, UPLOAD)
    other = replace(OWNER, actor=replace(OWNER.actor, project_id="prj_other"))
    mine = replace(OWNER, actor=replace(OWNER.actor, project_id="prj_a"))
    assert await world.queries.find(other, Filter(), 2) == ([], "")
    page, cursor = await world.queries.find(mine, Filter(), 2)
    assert (len(page), cursor) == (2, page[-1][0].id)


async def test_restarted_after_a_rollback_it_knows_its_own_deployment(world: World) -> None:
    first = await deploy(world)
    await deploy(world, "sha256:2")
    back = await world.commands.rollback(OWNER, first.id)
    await world.settle()
    launched = world.launches[-1]
    assert launched.variables["LIGHTRAIL_DEPLOYMENT_ID"].reveal() == back.id


async def test_change_that_skips_deploys_starts_nothing(world: World) -> None:
    await deploy(world)
    await world.react(world.reactions.variables_changed("svc_a", "env_a", version=2, skip_deploys=True))
    assert len(await world.store.find(OWNER, Filter(), 10)) == 1


async def test_deleted_service_ends_everything(world: World) -> None:
    await deploy(world)
    await world.react(world.reactions.service_deleted("svc_a"))
    await world.settle()
    outcome = await world.outcome()
    assert (outcome["running"], outcome["serving"]) == ([], [])
    assert [d.state for d in await world.store.find(OWNER, Filter(), 10)] == [State.REMOVED]


async def test_unknown_reference_fails_with_its_sentence(world: World) -> None:
    world.others.render_error = Invalid("web.A refers to api.B, which does not exist.")
    made = await deploy(world)
    assert made.state is State.FAILED
    assert "api.B" in made.reason


async def test_an_image_is_refused_with_what_is_missing_and_the_old_version_goes_on(world: World) -> None:
    first = await deploy(world)
    world.others.image = "lightrail/svc_a:bld_1"
    made = await deploy(world, "sha256:2")
    assert made.state is State.FAILED
    assert "lightrail/svc_a:bld_1" in made.reason
    assert "docker runtime" in made.reason
    assert (await world.store.get(OWNER, first.id)).state is State.ACTIVE


async def test_same_idempotency_key_gives_the_same_deployment(world: World) -> None:
    keyed = replace(UPLOAD, idempotency_key="once")
    made = [await world.commands.create(OWNER, keyed) for _ in range(3)]
    assert len({one.id for one in made}) == 1
    with pytest.raises(Conflict, match="idempotency key"):
        await world.commands.create(OWNER, replace(keyed, snapshot_id="snp_other"))


async def test_image_is_refused_naming_the_runtime_that_is_missing(world: World) -> None:
    with pytest.raises(Conflict, match="docker"):
        await world.commands.create(OWNER, NewDeployment(service_id="svc_a", image_url="nginx"))


@pytest.mark.parametrize(
    "wrong",
    [
        NewDeployment(service_id="svc_a"),
        NewDeployment(snapshot_id="snp_a"),
        replace(UPLOAD, replicas=-1),
        replace(UPLOAD, replicas=101),
        replace(UPLOAD, variables={"a b": "c"}),
        replace(UPLOAD, idempotency_key="k" * 256),
    ],
)
async def test_bad_request_is_invalid_and_writes_nothing(world: World, wrong: NewDeployment) -> None:
    with pytest.raises(Invalid):
        await world.commands.create(OWNER, wrong)
    assert await world.store.find(OWNER, Filter(), 10) == []


async def test_stranger_sees_nothing_and_is_told_nothing(world: World) -> None:
    made = await deploy(world)
    for asked in (
        world.queries.get(STRANGER, made.id),
        world.commands.delete(STRANGER, made.id),
        world.commands.redeploy(STRANGER, made.id),
        world.commands.rollback(STRANGER, made.id),
        world.commands.create(STRANGER, UPLOAD),
    ):
        with pytest.raises(NotFound):
            await asked
    assert await world.store.find(STRANGER, Filter(), 10) == []
    with pytest.raises(NotFound):
        async for _ in world.queries.log(STRANGER, LogQuery(deployment_id=made.id), follow=False, tail=0):
            pass


async def test_pages_are_newest_first_and_end(world: World) -> None:
    made = [(await world.commands.create(OWNER, UPLOAD)).id for _ in range(5)]
    first, cursor = await world.queries.find(OWNER, Filter(), 3)
    second, end = await world.queries.find(OWNER, Filter(before=cursor), 3)
    assert [d.id for d, _ in first + second] == made[::-1]
    assert end == ""

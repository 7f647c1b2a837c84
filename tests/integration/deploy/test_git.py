from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import pytest_asyncio

from libs.db import Database
from libs.kernel.errors import Conflict, Invalid
from services.deploy.app.commands import NewDeployment
from services.deploy.app.ports import Source
from services.deploy.app.reactions import Commit
from services.deploy.domain.machine import State
from services.deploy.domain.model import GitSource, Trigger
from services.deploy.store import MIGRATIONS
from tests.integration.deploy.world import OWNER, World, empty_world

WANTED = NewDeployment(service_id="svc_a", git=GitSource("https://git.example/app", "main"))
COMMIT = Commit("c" * 40, "First things first", "Ada")


@pytest_asyncio.fixture
async def world(open_db: Callable[..., Awaitable[Database]]) -> World:
    return await empty_world(await open_db("deploy", MIGRATIONS))


async def live(world: World, wanted: NewDeployment = WANTED) -> str:
    """A deployment of a commit, driven until it is live."""
    made = await world.commands.create(OWNER, wanted)
    await world.settle()
    await world.react(world.reactions.build_started(made.id))
    await world.react(world.reactions.source_fetched(made.id, "snp_c", COMMIT))
    await world.react(world.reactions.build_succeeded(made.id, "sha256:1"))
    await world.settle()
    return made.id


async def test_what_is_not_said_comes_from_the_services_source(world: World) -> None:
    world.others.origin = Source("https://git.example/app", "stable")
    made = await world.commands.create(OWNER, NewDeployment(service_id="svc_a"))
    assert (made.trigger, made.git) == (Trigger.GIT, GitSource("https://git.example/app", "stable"))
    ref = await world.commands.create(OWNER, NewDeployment(service_id="svc_a", git=GitSource(ref="v1")))
    assert ref.git == GitSource("https://git.example/app", "v1")
    # Another repository has branches of its own.
    other = await world.commands.create(OWNER, NewDeployment(service_id="svc_a", git=GitSource("git@host:app")))
    assert other.git == GitSource("ssh://git@host/app", "")


@pytest.mark.parametrize(
    "git",
    [GitSource(), GitSource("file:///etc"), GitSource("https://host/x", "--all"), GitSource("https://a:b@host/x")],
)
async def test_what_is_no_repository_or_no_commit_is_refused(world: World, git: GitSource) -> None:
    with pytest.raises(Invalid):
        await world.commands.create(OWNER, replace(WANTED, git=git))
    with pytest.raises(Invalid):
        await world.commands.create(OWNER, replace(WANTED, snapshot_id="snp_a"))


async def test_an_image_is_refused_in_the_same_words_wherever_it_comes_from(world: World) -> None:
    with pytest.raises(Conflict, match="docker runtime") as asked:
        await world.commands.create(OWNER, NewDeployment(service_id="svc_a", image_url="redis:7"))
    world.others.origin = Source(image="redis:7")
    with pytest.raises(Conflict, match="docker runtime") as kept:
        await world.commands.create(OWNER, NewDeployment(service_id="svc_a"))
    assert str(asked.value) == str(kept.value)


async def test_the_commit_is_kept_and_goes_along_with_what_is_made_from_it(world: World) -> None:
    first = await live(world)
    found = await world.store.get(OWNER, first)
    assert (found.state, found.snapshot_id) == (State.ACTIVE, "snp_c")
    assert found.git == GitSource("https://git.example/app", "main", "", *vars_of(COMMIT))
    again = await world.commands.redeploy(OWNER, first)
    assert (again.snapshot_id, again.git) == ("snp_c", found.git)
    back = await world.commands.rollback(OWNER, first)
    assert (back.artifact_digest, back.git) == ("sha256:1", found.git)


async def test_a_commit_that_could_not_be_fetched_is_fetched_anew_by_a_redeployment(world: World) -> None:
    made = await world.commands.create(OWNER, WANTED)
    await world.settle()
    await world.react(world.reactions.build_failed(made.id, "The host was not found."))
    again = await world.commands.redeploy(OWNER, made.id)
    assert (again.snapshot_id, again.git) == ("", made.git)


async def test_the_same_key_gives_the_same_deployment_although_more_is_known_of_it(world: World) -> None:
    keyed = replace(WANTED, idempotency_key="once")
    first = await live(world, keyed)
    assert (await world.commands.create(OWNER, keyed)).id == first
    with pytest.raises(Conflict):
        await world.commands.create(OWNER, replace(keyed, git=GitSource("https://git.example/app", "side")))


async def test_a_deployment_without_a_watched_change_is_skipped_and_what_is_live_stays(world: World) -> None:
    first = await live(world)
    second = await world.commands.create(OWNER, WANTED)
    await world.settle()
    assert (await world.requested())[-1] == (second.id, "c" * 40)
    await world.react(world.reactions.build_started(second.id))
    await world.react(world.reactions.build_skipped(second.id, "1 file changed; none is watched."))
    await world.settle()
    skipped = await world.store.get(OWNER, second.id)
    assert (skipped.state, skipped.reason) == (State.SKIPPED, "1 file changed; none is watched.")
    assert (await world.store.get(OWNER, first)).state is State.ACTIVE
    again = await world.commands.redeploy(OWNER, first)
    await world.settle()
    # A redeployment is wanted as it is: nothing is compared.
    assert (await world.requested())[-1] == (again.id, "")


def vars_of(commit: Commit) -> tuple[str, str, str]:
    return commit.sha, commit.message, commit.author

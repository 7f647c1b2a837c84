from __future__ import annotations

import pytest

from libs.kernel.errors import Failure
from libs.kernel.ids import new_id
from libs.kernel.secret import Secret
from libs.testing.faults import Plan
from services.build.app.fetching import SourceSecrets
from services.build.app.ports import Lease
from services.build.app.reactions import Wanted
from services.build.app.writer import Writer
from services.build.domain.model import Build, BuildState
from services.build.domain.push import Push, PushState
from services.build.domain.source import GitWish, NothingChanged
from tests.integration.build.world import World

PENDING = PushState.PENDING
WISH = GitWish("https://git.example/app", "main", base_commit="b" * 40)


async def request(world: World, wish: GitWish = WISH) -> Build:
    """A build of a commit, as deploy asks for it."""
    deployment = new_id("deployment", world.clock)
    wanted = Wanted(deployment, "wsp_1", "prj_1", "svc_1", "env_1", "", wish)
    await world.reactions.deployment_requested(wanted)
    build = await world.builds.of_deployment(deployment, None)
    assert build is not None
    return build


async def test_a_commit_becomes_a_snapshot_once_and_is_told_of(world: World) -> None:
    world.repositories.host_keys = ("host ssh-ed25519 QUFB",)
    build = await request(world)
    assert build.git == WISH
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.SUCCEEDED
    found = await world.snapshots.get(done.snapshot_id, ["wsp_1"])
    assert found is not None
    assert found[0].digest == "sha256:" + "2" * 64
    assert await world.told(build) == ["started", "fetched", "succeeded"]
    assert world.projects.kept == ["host ssh-ed25519 QUFB"]


async def test_a_build_that_is_tried_again_uses_what_was_fetched(world: World) -> None:
    build = await request(world)
    tries = 0

    async def broken(*_: object) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise RuntimeError("the disk is on fire")

    world.builder.script = broken
    with pytest.raises(RuntimeError):
        await world.drive()
    await world.drive()
    assert (await world.now(build)).state is BuildState.SUCCEEDED
    assert (tries, world.repositories.fetched) == (2, 1)
    assert await world.told(build) == ["started", "fetched", "succeeded"]


async def test_a_build_of_which_no_watched_file_changed_is_skipped_with_a_sentence(world: World) -> None:
    world.projects.opened = SourceSecrets(watch_paths=("src/",))
    world.repositories.changed = ("README.md",)
    build = await request(world)
    await world.drive()
    done = await world.now(build)
    assert done.state is BuildState.CANCELLED
    assert done.reason == "1 file changed between bbbbbbb, which is live, and ccccccc; none is watched."
    assert await world.told(build) == ["started", "fetched", "skipped"]
    world.repositories.changed = ("README.md", "src/main.py")
    second = await request(world)
    await world.drive()
    assert (await world.now(second)).state is BuildState.SUCCEEDED


async def test_a_build_that_is_not_needed_stays_so_when_its_process_dies_before_it_says_so(world: World) -> None:
    world.projects.opened = SourceSecrets(watch_paths=("src/",))
    world.repositories.changed = ("README.md",)
    build = await request(world)
    claimed = await world.builds.claim(build.id, "dead", world.clock.now(), world.clock.now())
    assert claimed is not None
    assert claimed.git is not None
    lease = Lease(build.id, "dead", claimed.attempt)
    heard = Writer(world.log, lease, world.wakes, world.clock, after=0)
    with pytest.raises(NothingChanged):
        await world.fetching.snapshot(claimed, lease, world.projects.opened, heard)
    # The process is gone now; another one begins anew.
    await world.drive()
    assert await world.told(build) == ["fetched", "fetched", "skipped"]


async def test_a_push_is_built_from_its_own_commit_and_only_for_its_own_service(world: World) -> None:
    push = Push("psh_1", "wsp_1", "svc_1", "env_1", "refs/heads/main", "0" * 40, "d" * 40, PENDING, world.clock.now())
    await world.pushes.add(push)
    build = await request(world, GitWish(ref="main", push_id="psh_1"))
    await world.drive()
    assert (await world.now(build)).state is BuildState.SUCCEEDED
    assert world.repositories.asked[-1].ref == "d" * 40
    deployment = new_id("deployment", world.clock)
    stranger = Wanted(deployment, "wsp_1", "prj_1", "svc_2", "env_1", "", GitWish(ref="main", push_id="psh_1"))
    await world.reactions.deployment_requested(stranger)
    await world.drive()
    found = await world.builds.of_deployment(deployment, None)
    assert found is not None
    assert (found.state, "no push psh_1" in found.reason) == (BuildState.FAILED, True)


async def test_a_push_that_was_given_up_is_not_built_when_its_deployment_turns_up(world: World) -> None:
    push = Push("psh_1", "wsp_1", "svc_1", "env_1", "refs/heads/main", "0" * 40, "d" * 40, PENDING, world.clock.now())
    await world.pushes.add(push)
    await world.pushes.give_up(push.id)
    build = await request(world, GitWish(ref="main", push_id="psh_1"))
    await world.drive()
    found = await world.now(build)
    assert (found.state, "given up" in found.reason) == (BuildState.FAILED, True)
    assert world.repositories.asked == []


async def test_a_password_is_in_no_log(world: World) -> None:
    world.projects.opened = SourceSecrets(username="a pass-word b", password=Secret("pass-word"))
    build = await request(world)
    await world.drive()
    assert any("https://git.example/app" in text for text in await world.texts(build))
    assert not any("pass-word" in text for text in await world.texts(build))


async def test_dying_anywhere_ends_in_one_snapshot(world: World) -> None:
    """The snapshot, the build's note of it, and the fact are one transaction."""
    faults = Plan()
    dying = World(world.db, world.clock, faults)
    build = await request(dying)
    faults.calls, faults.fail_at = 0, 12
    with pytest.raises(Failure):
        await dying.drive()
    faults.fail_at = -1
    await dying.drive()
    assert (await dying.now(build)).state is BuildState.SUCCEEDED
    assert await world.db.fetchval("select count(*) from snapshots") == 1

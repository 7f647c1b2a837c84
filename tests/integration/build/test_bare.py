from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from libs.git import pkt
from libs.kernel.errors import Exhausted, Invalid
from libs.kernel.units import MIB
from libs.sandbox.spec import Limits
from services.build.adapters.bare import BareRepositories
from services.build.adapters.git import Git
from services.build.adapters.workdir import WorkDirs
from services.build.app.pushes import Place
from tests.integration.build.githost import ENVIRONMENT, Repository, git
from tests.integration.build.sites import Site

PLACE = Place("wsp_1", "svc_1", "env_1", "main")
MAIN = "refs/heads/main"


@pytest_asyncio.fixture
async def bare(tmp_path: Path) -> BareRepositories:
    site = await Site.open(tmp_path / "home")
    runner = Git(site.sandbox, Limits(pids=500), 60.0)
    work = WorkDirs(site.home / "build" / "work")
    return BareRepositories(runner, site.sandbox, work, site.home / "build" / "git", 4 * MIB, site.clock)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "mine")


def body(repository: Repository, *wishes: pkt.Command, objects: str = "") -> bytes:
    """What git sends for a push, with the objects of another commit when told to."""
    pack = subprocess.run(
        ["git", "pack-objects", "--stdout", "--revs", "--quiet"],
        cwd=repository.folder, env=ENVIRONMENT, input=f"{objects or wishes[0].new}\n".encode(),
        capture_output=True, check=True,
    )  # fmt: skip
    lines = b"".join(
        pkt.line(f"{wish.old} {wish.new} {wish.ref}" + ("\0 report-status side-band-64k" if number == 0 else ""))
        for number, wish in enumerate(wishes)
    )
    return lines + pkt.FLUSH + pack.stdout


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


async def pushed(
    bare: BareRepositories, data: bytes, push_id: str = "psh_1", kept: Collection[str] = ()
) -> dict[str, str]:
    async with bare.receive(PLACE, pieces(data), kept) as incoming:
        return await incoming.unpack(push_id, incoming.commands.wishes)


async def moved(bare: BareRepositories, old: str, new: str) -> bool:
    return not await bare.move(PLACE, [pkt.Command(old, new, MAIN)], deployed=True)


async def refs(bare: BareRepositories) -> set[str]:
    told = await bare.advertise(PLACE, push=False, protocol="")
    lines = [(line or b"").split(b"\0")[0].decode() for line, _ in pkt.lines(told)]
    return {line.split()[1] for line in lines if " refs/" in line}


async def test_a_push_is_kept_out_of_sight_until_its_branch_moves(
    bare: BareRepositories, repository: Repository
) -> None:
    new = repository.commit("One", **{"a.txt": "1"})
    assert await pushed(bare, body(repository, pkt.Command(pkt.ZERO, new, MAIN))) == {}
    assert await refs(bare) == set()
    assert await moved(bare, pkt.ZERO, new)
    # Again, as after a crash between the move and its note.
    assert await moved(bare, pkt.ZERO, new)
    await bare.forget(PLACE, "psh_1")
    await bare.forget(PLACE, "psh_1")
    assert await refs(bare) == {MAIN}
    hidden = bare.root / PLACE.service_id / f"{PLACE.environment_id}.git" / "refs" / "incoming"
    assert not await asyncio.to_thread(lambda: [path for path in hidden.rglob("*") if path.is_file()])


async def test_a_branch_that_moved_meanwhile_is_not_moved(bare: BareRepositories, repository: Repository) -> None:
    first = repository.commit("One", **{"a.txt": "1"})
    second = repository.commit("Two", **{"a.txt": "2"})
    third = repository.commit("Three", **{"a.txt": "3"})
    await pushed(bare, body(repository, pkt.Command(pkt.ZERO, third, MAIN)))
    assert await moved(bare, pkt.ZERO, first)
    assert await moved(bare, first, second)
    assert not await moved(bare, first, third)
    assert await moved(bare, second, third)


async def test_what_a_push_left_whose_process_died_goes_with_the_next_one(
    bare: BareRepositories, repository: Repository
) -> None:
    new = repository.commit("One", **{"a.txt": "1"})
    data = body(repository, pkt.Command(pkt.ZERO, new, MAIN))
    for push_id in ("psh_dead", "psh_alive"):
        await pushed(bare, data, push_id)
    made = bare.root / PLACE.service_id / f"{PLACE.environment_id}.git"
    await pushed(replace(bare, _looked=set()), data, "psh_new", {"psh_alive"})
    left = git(made, "-c", "safe.directory=*", "for-each-ref", "--format=%(refname)")
    assert left.split() == ["refs/incoming/psh_alive/0", "refs/incoming/psh_new/0"]


async def test_refs_are_moved_and_deleted_together_and_one_in_the_way_keeps_none_of_the_others(
    bare: BareRepositories, repository: Repository
) -> None:
    one = repository.commit("One", **{"a.txt": "1"})
    two = repository.commit("Two", **{"a.txt": "2"})
    await pushed(bare, body(repository, pkt.Command(pkt.ZERO, two, MAIN)))
    assert await moved(bare, pkt.ZERO, two)
    names = [f"refs/heads/b{number}" for number in range(5)]
    wishes = [pkt.Command(pkt.ZERO, one, name) for name in names]
    assert await bare.move(PLACE, wishes, deployed=False) == frozenset()
    assert await bare.at(PLACE, names[0]) == one
    assert await bare.at(PLACE, "refs/heads/none") == pkt.ZERO
    next_time = [
        pkt.Command(one, two, names[0]),
        pkt.Command(one, pkt.ZERO, names[1]),
        pkt.Command(two, two, names[2]),
        pkt.Command(one, two, names[3]),
    ]
    # Twice, as after a crash.
    for _ in range(2):
        assert await bare.move(PLACE, next_time, deployed=False) == {names[2]}
    assert await refs(bare) == {MAIN, names[0], names[2], names[3], names[4]}
    assert pkt.line(f"{two} {names[3]}\n") in await bare.advertise(PLACE, push=False, protocol="")


async def test_a_clone_begins_with_what_is_deployed(bare: BareRepositories, repository: Repository) -> None:
    new = repository.commit("One", **{"a.txt": "1"})
    await pushed(bare, body(repository, pkt.Command(pkt.ZERO, new, MAIN)))
    await bare.move(PLACE, [pkt.Command(pkt.ZERO, new, "refs/heads/side")], deployed=False)
    head = b"symref=HEAD:refs/heads/"
    assert head + b"side" in await bare.advertise(PLACE, push=False, protocol="")
    assert await moved(bare, pkt.ZERO, new)
    assert head + b"main" in await bare.advertise(PLACE, push=False, protocol="")


async def test_a_shallow_clone_pushes_onto_what_is_here_and_is_refused_otherwise(
    bare: BareRepositories, repository: Repository, tmp_path: Path
) -> None:
    for number in range(3):
        base = repository.commit(f"{number}", **{"a.txt": f"{number}"})
    await pushed(bare, body(repository, pkt.Command(pkt.ZERO, base, MAIN)))
    assert await moved(bare, pkt.ZERO, base)

    def shallow(name: str) -> tuple[bytes, str]:
        git(tmp_path, "clone", "--quiet", "--depth=1", repository.folder.as_uri(), name)
        mine = Repository.__new__(Repository)
        mine.folder = tmp_path / name
        new = mine.commit("Mine", **{"b.txt": name})
        root = git(mine.folder, "rev-parse", "HEAD~1")
        data = body(mine, pkt.Command(pkt.ZERO, new, "refs/heads/side"))
        return pkt.line(f"shallow {root}") + data, new

    data, new = await asyncio.to_thread(shallow, "known")
    assert await pushed(bare, data, "psh_2") == {}
    assert await bare.move(PLACE, [pkt.Command(pkt.ZERO, new, "refs/heads/side")], deployed=False) == frozenset()
    repository.commit("Not pushed", **{"a.txt": "x"})
    repository.commit("Nor this", **{"a.txt": "y"})
    data, _ = await asyncio.to_thread(shallow, "unknown")
    refused = await pushed(bare, data, "psh_3")
    assert refused["refs/heads/side"] in ("shallow update not allowed", "missing necessary objects")


async def test_objects_that_do_harm_and_packs_that_are_broken_are_refused(
    bare: BareRepositories, repository: Repository
) -> None:
    repository.commit("One", **{"a.txt": "1"})
    blob = git(repository.folder, "hash-object", "-w", "a.txt")
    evil = git(repository.folder, "mktree", stdin=f"100644 blob {blob}\t.git\n")
    commit = git(repository.folder, "commit-tree", evil, "-m", "evil")
    git(repository.folder, "update-ref", "refs/heads/evil", commit)
    with pytest.raises(Invalid, match="cannot be kept"):
        await pushed(bare, body(repository, pkt.Command(pkt.ZERO, commit, MAIN)))
    good = git(repository.folder, "rev-parse", "main")
    data = body(repository, pkt.Command(pkt.ZERO, good, MAIN), objects="main")
    with pytest.raises(Invalid, match="cannot be kept"):
        await pushed(bare, data[:-10] + b"0123456789")
    # A pack without the commit that is pushed.
    missing = await pushed(bare, body(repository, pkt.Command(pkt.ZERO, "1" * 40, MAIN), objects="main"))
    assert MAIN in missing
    assert await refs(bare) == set()
    left = await asyncio.to_thread(lambda: list((bare.root.parent / "work").iterdir()))
    assert left == []


async def test_a_push_that_is_too_large_is_refused(bare: BareRepositories) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 100_000

    with pytest.raises(Exhausted, match="larger than"):
        async with bare.receive(PLACE, endless(), ()):
            raise AssertionError("it was taken")


async def test_a_users_hooks_and_settings_are_none(bare: BareRepositories, repository: Repository) -> None:
    new = repository.commit("One", **{"a.txt": "1"})
    await bare.advertise(PLACE, push=True, protocol="")
    made = bare.root / PLACE.service_id / f"{PLACE.environment_id}.git"

    def plant() -> None:
        (made / "hooks").mkdir()
        for name in ("pre-receive", "post-receive", "update", "reference-transaction"):
            (made / "hooks" / name).write_text(f"#!/bin/sh\ntouch {made}/ran\nexit 1\n", encoding="utf-8")
            (made / "hooks" / name).chmod(0o755)

    await asyncio.to_thread(plant)
    assert await pushed(bare, body(repository, pkt.Command(pkt.ZERO, new, MAIN))) == {}
    assert await moved(bare, pkt.ZERO, new)
    assert not await asyncio.to_thread((made / "ran").exists)


async def test_a_full_repository_makes_room_by_what_refused_pushes_left_and_keeps_the_rest(
    bare: BareRepositories, repository: Repository
) -> None:
    kept = repository.commit("Kept", **{"a.txt": "1"})
    await pushed(bare, body(repository, pkt.Command(pkt.ZERO, kept, MAIN)))
    assert await moved(bare, pkt.ZERO, kept)
    await bare.forget(PLACE, "psh_1")
    small = replace(bare, limit=100_000)
    made = bare.root / PLACE.service_id / f"{PLACE.environment_id}.git"

    def fill() -> None:
        for number in range(5):
            git(repository.folder, "checkout", "--quiet", "--detach", "main")
            (repository.folder / "large.bin").write_bytes(os.urandom(90_000))
            large = repository.commit(f"Large {number}")
            git(made, "-c", "safe.directory=*", "fetch", "--quiet", str(repository.folder), large)
        for path in made.rglob("objects/**/*"):
            os.utime(path, (0, 0))
        subprocess.run(["chown", "-R", "--reference", str(made), str(made)], check=True)

    await asyncio.to_thread(fill)
    # Of a push that ended without saying so, and of one under way.
    for push_id in ("psh_dead", "psh_alive"):
        await pushed(bare, body(repository, pkt.Command(pkt.ZERO, kept, MAIN)), push_id)
    git(repository.folder, "checkout", "--quiet", "main")
    new = repository.commit("New", **{"b.txt": "1"})
    data = body(repository, pkt.Command(kept, new, MAIN), objects=f"{new}\n^{kept}")
    assert await pushed(small, data, "psh_2", {"psh_alive"}) == {}
    left = git(made, "-c", "safe.directory=*", "for-each-ref", "--format=%(refname)", "refs/incoming/")
    assert left.split() == ["refs/incoming/psh_2/0", "refs/incoming/psh_alive/0"]
    assert await moved(bare, kept, new)
    assert git(made, "-c", "safe.directory=*", "log", "--format=%s", "main") == "New\nKept"

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from libs.db import Database
from services.build.app.keeping import MadeImage, Needed
from services.build.domain.model import Artifact, BuildState, Image
from tests.integration.build.yard import DAY, Yard


class Shelf:
    """A store of images in memory."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.images: dict[str, MadeImage] = {}

    def put(self, build_id: str) -> str:
        name = f"lightrail/svc_1:{build_id}"
        self.images[name] = MadeImage(f"id of {name}", (name,), build_id, self.yard.clock.now(), 1000)
        return name

    async def made(self) -> list[MadeImage]:
        return list(self.images.values())

    async def remove(self, image: MadeImage) -> None:
        for name in image.names:
            self.images.pop(name, None)


@pytest.fixture
def yard(db: Database, tmp_path: Path) -> Yard:
    return Yard(db, tmp_path, count=1)


def shelved(yard: Yard) -> Shelf:
    shelf = Shelf(yard)
    yard.collector = replace(yard.collector, images=(shelf,))
    return shelf


async def test_an_image_goes_with_its_build_and_stays_while_an_artifact_consists_of_it(yard: Yard) -> None:
    shelf = shelved(yard)
    names = []
    for _ in range(3):
        build = await yard.queue()
        names.append(shelf.put(build.id))
        await yard.succeed(build, Artifact((), "serve", "/app", "web", "python", image=Image(names[-1], "sha256:1", 1)))
        yard.clock.advance(60)
    first = await yard.db.fetchval(
        "select digest from artifacts where manifest -> 'image' ->> 'reference' = $1", names[0]
    )
    yard.deploy.needs = [Needed(first, "", "svc_1", running=True)]
    yard.clock.advance(400 * DAY)
    report = await yard.collector.collect()
    # The first still runs, the third is the last that succeeded.
    assert set(shelf.images) == {names[0], names[2]}
    assert (report.images.count, report.images.bytes) == (1, 1000)


async def test_an_image_of_a_build_under_way_or_of_an_unknown_database_stays(yard: Yard) -> None:
    shelf = shelved(yard)
    waiting = await yard.queue()
    going = shelf.put(waiting.id)
    fresh = shelf.put("bld_that_was_just_begun_elsewhere")
    yard.clock.advance(3 * DAY)
    young = shelf.put("bld_begun_now")
    older = await yard.garbage.began()
    strange = "lightrail/svc_1:strange"
    shelf.images[strange] = MadeImage("strange", (strange,), "bld_strange", older.replace(year=2001), 1)
    await yard.collector.collect()
    assert waiting.state is BuildState.QUEUED
    assert set(shelf.images) == {going, young, strange}
    assert fresh not in shelf.images


async def test_no_image_goes_while_deploy_runs_what_build_does_not_know(yard: Yard) -> None:
    shelf = shelved(yard)
    name = shelf.put("bld_forgotten")
    yard.clock.advance(3 * DAY)
    yard.deploy.needs = [Needed("sha256:unknown", "", "svc_1", running=True)]
    await yard.collector.collect()
    assert name in shelf.images

"""The platform without root: an ordinary user starts it, deploys to it, and ends it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import ordinary, processes
from tests.e2e.application import Application, copy_of
from tests.e2e.platform import Platform


@pytest.fixture
def own() -> Iterator[Platform]:
    """A platform that an ordinary user started."""
    made = Platform("all")
    made.before = ordinary.prefix(made.folder / "hold")
    if why := ordinary.obstacle(made.before):
        shutil.rmtree(made.folder)
        pytest.skip(why)
    home = made.folder / "user"
    home.mkdir()
    for folder in (made.folder, home):
        os.chown(folder, ordinary.uid(), -1)
    made.settings = {"HOME": str(home), "UV_OFFLINE": "1"}
    try:
        made.start()
        yield made
    finally:
        made.stop()


def owners(pids: set[int]) -> set[int]:
    return {Path(f"/proc/{pid}").stat().st_uid for pid in pids}


async def test_an_ordinary_user_starts_it_deploys_and_ends_it(own: Platform) -> None:
    parts = await own.parts()
    assert {part["state"] for part in parts.values()} == {"running"}
    assert owners({part["pid"] for part in parts.values()}) == {ordinary.uid()}
    app = Application(own, "plain", copy_of("static-site", own.folder))
    for path in (app.directory, *app.directory.rglob("*")):
        os.chown(path, ordinary.uid(), -1)
    await app.create()
    await app.up()
    assert (await app.get()).status_code == 200
    running = {pid for pid, _ in app.processes()}
    assert running
    assert owners(running) == {ordinary.uid()}
    await own.lr("platform", "down")
    started = {part["pid"] for part in parts.values()}
    assert not started.intersection(processes.running())

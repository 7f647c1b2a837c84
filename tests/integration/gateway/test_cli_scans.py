"""`lr build scan`, `lr build sbom` and `lr settings`, against the real API."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.shell import Person, linked


@pytest.fixture
def somebody(gateway: Gateway, tmp_path: Path) -> Person:
    directory = tmp_path / "my-site"
    directory.mkdir()
    (directory / "index.html").write_text("hello\n", encoding="utf-8")
    return Person(gateway, tmp_path, directory, {"LIGHTRAIL_TOKEN": gateway.session})


async def test_a_scan_and_a_bill_of_materials_of_a_build(somebody: Person) -> None:
    await linked(somebody)
    await somebody.ok("up", "--detach")
    deployment = next(iter(somebody.gateway.world.deployments))
    somebody.gateway.world.build_lines[deployment] = []
    run = await somebody.lr("build", "scan")
    # A scan that ended its build is no success.
    assert run.code == 1
    assert "medium: src/a.py:3 (JSON web token)" in run.out
    assert "high: flask@3 (CVE-1, fixed in 4)" in run.out
    assert "The scan policy blocks this." in run.out
    told = await somebody.lr("build", "scan", deployment.replace("dep_", "bld_"), "--json")
    assert told.json()["vulnerabilities"]["state"] == "not_scanned"
    assert (await somebody.ok("build", "sbom", deployment)).json() == {"bomFormat": "CycloneDX"}
    assert "--dir nonsense" in (await somebody.lr("build", "sbom", "nonsense")).err


async def test_settings_of_a_project_are_shown_and_changed(somebody: Person) -> None:
    await linked(somebody)
    assert re.search(r"scan-policy +block", (await somebody.ok("settings", "--scan-policy", "block")).out)
    assert (await somebody.ok("settings", "--json")).json()["scan_policy"] == "block"

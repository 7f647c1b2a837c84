"""Scans over REST."""

from __future__ import annotations

from libs.kernel.ids import new_id
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.problems import problem


async def test_a_scan_and_its_bill_are_asked_for_by_their_build(gateway: Gateway) -> None:
    service = await gateway.service("web")
    body = {"service_id": service["id"], "image_url": None, "snapshot_id": new_id("snapshot", gateway.world.clock)}
    build = (await gateway.json("POST", "/deployments", json=body))["id"].replace("dep_", "bld_")
    problem(await gateway.call("GET", f"/builds/{build}/scan"), 404, "not_found")
    problem(await gateway.call("GET", f"/builds/{build}/sbom"), 404, "not_found")
    gateway.world.build_lines[build.replace("bld_", "dep_")] = []
    scan = await gateway.json("GET", f"/builds/{build}/scan")
    assert scan["secrets"]["findings"] == [
        {"path": "src/a.py", "line": 3, "rule": "jwt", "title": "JSON web token", "severity": "medium"}
    ]
    assert scan["vulnerabilities"]["why"] == "this platform has no vulnerability scanner (Trivy)"
    assert scan["vulnerabilities"]["findings"][0]["fixed"] == "4"
    assert (scan["sbom"]["by"], scan["sbom"]["packages"], scan["blocked"]) == (
        "lock files", 1, "The scan policy blocks this.",
    )  # fmt: skip
    answer = await gateway.call("GET", f"/builds/{build}/sbom")
    assert answer.headers["content-type"].startswith("application/vnd.cyclonedx+json")
    assert answer.json() == {"bomFormat": "CycloneDX"}


async def test_a_projects_scan_policy_is_changed_field_by_field(gateway: Gateway) -> None:
    project = await gateway.json("POST", "/projects", json={"name": "shop"})
    path = f"/projects/{project['id']}"
    assert (await gateway.json("PATCH", path, json={"scan_policy": "block"}))["scan_policy"] == "block"
    changed = await gateway.json("PATCH", path, json={"scan_severity": "low"})
    assert (changed["scan_policy"], changed["scan_severity"]) == ("block", "low")
    told = problem(await gateway.call("PATCH", path, json={"scan_policy": "off"}), 422, "invalid")
    assert "scan_policy" in str(told)

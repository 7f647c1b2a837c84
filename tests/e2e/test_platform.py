"""The platform's own verbs and pages."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import httpx2
import pytest

from libs.testing.eventually import eventually
from tests.e2e.application import Application
from tests.e2e.platform import EMAIL, Json, Platform

Make = Callable[..., Awaitable[Application]]
SERVICES = {"auth", "project", "build", "deploy", "router", "metering", "gateway"}
CORE = {"postgres", "nats", "envoy"}


async def test_status_lists_every_part_with_what_it_costs(platform: Platform) -> None:
    status = (await platform.lr("platform", "status", "--json")).json()
    assert status["topology"] == platform.topology
    parts = {part["name"]: part for part in status["parts"]}
    assert parts.keys() >= CORE | SERVICES
    for name in CORE | SERVICES:
        part = parts[name]
        assert part["state"] == "running"
        assert part["pid"] > 0
        assert part["port"] > 0
        assert part["memory_bytes"] > 1_000_000
        assert part["uptime_seconds"] >= 0


async def test_up_again_is_harmless(platform: Platform) -> None:
    before = {name: part["pid"] for name, part in (await platform.parts()).items()}
    await platform.lr("platform", "up", "--detach", "--topology", platform.topology)
    assert {name: part["pid"] for name, part in (await platform.parts()).items()} == before


async def test_logs_of_a_part_are_shown(platform: Platform) -> None:
    assert (await platform.lr("platform", "logs", "postgres")).out.strip()


async def test_every_process_of_services_has_metrics(platform: Platform) -> None:
    parts = await platform.parts()
    async with httpx2.AsyncClient() as client:
        for address in {parts[service]["metrics_address"] for service in SERVICES}:
            answer = await client.get(f"http://{address}/metrics")
            assert answer.status_code == 200
            assert "lightrail_" in answer.text


@pytest.mark.parametrize("example", ["guestbook-python", "flask-pip", "static-site"])
async def test_nothing_is_reachable_from_outside(platform: Platform, application: Make, example: str) -> None:
    app = await application(example)
    await app.up()
    assert app.processes()
    places = (await platform.lr("platform", "status", "--json")).json()["reachable_from_outside"]
    # Tests beside this one may run applications that listen as they like.
    assert [place for place in places if app.is_at(place) or "instance" not in place] == []


async def test_an_application_that_listens_on_every_address_is_named(platform: Platform, application: Make) -> None:
    app = await application("node-express")
    await app.up()
    status = (await platform.lr("platform", "status", "--json")).json()
    [place] = [place for place in status["reachable_from_outside"] if app.is_at(place)]
    assert place.startswith(("[::]:", "0.0.0.0:"))
    assert place in (await platform.lr("platform", "status")).text


async def test_a_busy_port_is_one_clear_sentence(platform: Platform) -> None:
    other = Platform(platform.topology)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        other.port = taken.getsockname()[1]
        run = await other.lr("platform", "up", "--detach", check=False)
    assert run.code != 0
    assert str(other.port) in run.err
    assert "Traceback" not in run.text
    other.stop()


async def test_reset_asks_before_it_deletes(platform: Platform) -> None:
    run = await platform.lr("platform", "reset", check=False)
    assert run.code != 0
    assert "--yes" in run.text
    assert (await platform.parts())["postgres"]["state"] == "running"


async def test_pages_that_need_no_login(platform: Platform) -> None:
    for path, kind in (("/", "text/html"), ("/api/v1/docs", "text/html"), ("/api/v1/openapi.json", "application/json")):
        answer = await platform.request("GET", path, token="")
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith(kind)
    assert (await platform.api("GET", "/health", token=""))["status"] == "ready"
    assert (await platform.api("GET", "/openapi.json"))["openapi"].startswith("3.1")


async def test_the_status_page_is_the_default_host_and_other_names_have_nothing(platform: Platform) -> None:
    page = await platform.visit("anything.example.test")
    assert page.status_code == 200
    assert "Lightrail" in page.text


async def test_whoami_and_a_token_instead_of_a_login(platform: Platform) -> None:
    assert EMAIL in (await platform.lr("whoami")).out
    made = await platform.api("POST", "/tokens", json={"name": "for the command line"})
    environ = {
        "LIGHTRAIL_CONFIG_DIR": str(platform.folder / "nobody"),
        "LIGHTRAIL_TOKEN": made["secret"],
        "LIGHTRAIL_API": platform.url,
    }
    assert EMAIL in (await platform.lr("whoami", environ=environ)).out
    without = await platform.lr("whoami", environ=environ | {"LIGHTRAIL_TOKEN": ""}, check=False)
    assert without.code != 0
    assert "lr login" in without.text


@pytest.mark.parametrize("verb", ["up", "logs", "status", "deployments", "down"])
async def test_verbs_outside_of_a_linked_directory_say_what_to_do(platform: Platform, verb: str) -> None:
    empty = platform.folder / "elsewhere"
    empty.mkdir(exist_ok=True)
    (empty / "index.html").write_text("nothing is made without being asked\n", encoding="utf-8")
    run = await platform.lr(verb, cwd=empty, check=False)
    assert run.code != 0
    assert "lr init" in run.text or "lr link" in run.text
    assert "Traceback" not in run.text


async def test_what_an_application_uses_is_on_its_bill(application: Make, platform: Platform) -> None:
    app = await application("static-site")
    before = await platform.api("GET", "/usage", params={"project_id": app.project["id"]})
    assert (before["items"], before["total_micro_usd"]) == ([], 0)
    await app.up()
    page = await app.text()

    async def billed() -> dict[str, Json]:
        bills = (await platform.api("GET", "/usage", params={"project_id": app.project["id"]}))["items"]
        assert len(bills) == 1
        bill = bills[0]
        assert bill["cpu_microseconds"] > 0
        assert bill["memory_byte_seconds"] > 1_000_000
        assert bill["egress_bytes"] >= len(page.encode())
        return dict(bill)

    assert (await eventually(billed, within=30, every=0.5))["service_id"] == app.id
    table = (await app.lr("usage")).out
    assert app.name in table


async def test_the_same_key_gives_the_same_deployment(application: Make, platform: Platform) -> None:
    app = await application("static-site")
    await app.up()
    snapshot = (await app.deployments())[0]["snapshot_id"]
    body = {"service_id": app.id, "snapshot_id": snapshot}
    headers = {"Idempotency-Key": f"once-{app.id}"}
    first = await platform.api("POST", "/deployments", json=body, headers=headers)
    second = await platform.api("POST", "/deployments", json=body, headers=headers)
    assert first["id"] == second["id"]
    await app.becomes("active", first["id"])
    page = await platform.api("GET", "/deployments", params={"service_id": app.id, "limit": 1})
    assert [row["id"] for row in page["items"]] == [first["id"]]
    rest = await platform.api(
        "GET", "/deployments", params={"service_id": app.id, "limit": 1, "cursor": page["next_cursor"]}
    )
    assert len(rest["items"]) == 1
    await platform.api("DELETE", f"/deployments/{first['id']}")
    await platform.api("DELETE", f"/deployments/{first['id']}")
    await app.becomes("removed", first["id"])

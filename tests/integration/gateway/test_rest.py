"""The REST API over real HTTP and real gRPC."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.attest.dsse import IN_TOTO, seal
from libs.kernel.ids import new_id
from libs.protogen.lightrail.common.v1 import facts_pb2
from libs.protogen.lightrail.deploy.v1 import events_pb2
from libs.testing.eventually import eventually
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.problems import problem
from tests.integration.gateway.world import EDGE_TOKEN, EMAIL, MANIFEST, PASSWORD, SETUP_TOKEN

TAR = {"Content-Type": "application/gzip"}
JSON = {"Content-Type": "application/json"}


async def test_health_names_every_part(gateway: Gateway) -> None:
    body = await gateway.json("GET", "/health", token="")
    assert body["status"] == "ready"
    assert set(body["services"]) == {"auth", "project", "build", "deploy", "router", "metering"}


async def test_the_first_account_is_made_once_with_the_set_up_token(gateway: Gateway) -> None:
    gateway.world.claimed = False
    assert await gateway.json("GET", "/setup", token="") == {"claimed": False}
    body = {"setup_token": "guess", "email": "a@example.test", "password": "long enough", "name": "A"}
    problem(await gateway.call("POST", "/setup", token="", json=body), 403, "denied")
    made = await gateway.json("POST", "/setup", token="", json=body | {"setup_token": SETUP_TOKEN})
    assert made["user"]["operator"] is True
    assert (await gateway.json("GET", "/me", token=made["session_token"]))["user"]["email"] == "a@example.test"
    problem(await gateway.call("POST", "/setup", token="", json=body | {"setup_token": SETUP_TOKEN}), 409, "conflict")


async def test_login_tells_how_many_failures_are_left_and_refuses_the_eleventh(gateway: Gateway) -> None:
    right = {"email": EMAIL, "password": PASSWORD}
    answer = await gateway.call("POST", "/login", token="", json=right)
    assert answer.status_code == 200
    assert answer.headers["ratelimit-remaining"] == "10"
    for left in range(9, -1, -1):
        answer = await gateway.call("POST", "/login", token="", json=right | {"password": "wrong"})
        problem(answer, 401, "denied")
        assert answer.headers["ratelimit-remaining"] == str(left)
    refused = await gateway.call("POST", "/login", token="", json=right)
    problem(refused, 429, "exhausted")
    assert int(refused.headers["retry-after"]) <= 60
    forwarded = {"X-Forwarded-For": "1.2.3.4, 203.0.113.9", "X-Real-IP": "203.0.113.9"}
    for forged in (forwarded, forwarded | {"X-Lightrail-Edge": ""}, forwarded | {"X-Lightrail-Edge": "guess"}):
        answer = await gateway.call("POST", "/login", token="", json=right, headers=forged)
        problem(answer, 429, "exhausted")
    by_the_edge = forwarded | {"X-Lightrail-Edge": EDGE_TOKEN}
    elsewhere = await gateway.call("POST", "/login", token="", json=right, headers=by_the_edge)
    assert elsewhere.status_code == 200


async def test_logout_ends_the_session_at_once(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/me")).status_code == 200
    assert (await gateway.call("POST", "/logout")).status_code == 204
    problem(await gateway.call("GET", "/me"), 401, "denied")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic abc", "Bearer nobody", "Bearer x" + "y" * 5000])
async def test_who_is_not_known_is_told_to_sign_in(gateway: Gateway, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await gateway.http.get("/api/v1/me", headers=headers)
    problem(answer, 401, "denied")
    assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_cookie_reads_but_never_writes(gateway: Gateway) -> None:
    cookie = {"Cookie": f"lightrail_session={gateway.session}"}
    assert (await gateway.http.get("/api/v1/me", headers=cookie)).status_code == 200
    answer = await gateway.http.post("/api/v1/projects", headers=cookie, json={"name": "forged"})
    problem(answer, 401, "denied")
    assert gateway.world.projects == {}


async def test_a_known_caller_is_asked_about_once_in_a_while(gateway: Gateway) -> None:
    for _ in range(5):
        await gateway.json("GET", "/me")
    assert [name for name, _ in gateway.world.calls].count("Authorize") == 1


async def test_accounts_workspaces_and_tokens(gateway: Gateway) -> None:
    made = await gateway.json("POST", "/users", json={"email": "b@example.test", "password": "long", "name": "B"})
    assert made["user"]["email"] == "b@example.test"
    workspace = (await gateway.json("GET", "/workspaces"))["items"][0]
    assert workspace["role"] == "owner"
    assert (await gateway.json("POST", "/workspaces", json={"name": "second"}))["name"] == "second"
    members = f"/workspaces/{workspace['id']}/members"
    await gateway.json("PUT", members, json={"email": "b@example.test", "role": "viewer"})
    await gateway.json("PUT", members, json={"email": "b@example.test", "role": None})
    token = await gateway.json("POST", "/tokens", json={"name": "ci", "lifetime_seconds": 60})
    assert (await gateway.json("GET", "/me", token=token["secret"]))["token"]["name"] == "ci"
    assert token["secret"] not in (await gateway.call("GET", "/tokens")).text
    await gateway.json("DELETE", f"/tokens/{token['token']['id']}")
    problem(await gateway.call("GET", "/me", token=token["secret"]), 401, "denied")


async def test_builds_are_asked_for_by_their_deployments(gateway: Gateway) -> None:
    service = await gateway.service("web")
    world, made = gateway.world, []
    for number in range(2):
        body = {"service_id": service["id"], "image_url": None, "snapshot_id": new_id("snapshot", world.clock)}
        made.append((await gateway.json("POST", "/deployments", json=body))["id"])
        if number == 0:
            world.build_lines[made[0]] = []
    found = (await gateway.json("GET", f"/builds?deployment_id={made[0]}&deployment_id={made[1]}"))["items"]
    assert [row["deployment_id"] for row in found] == made[:1]
    assert found[0]["state"] == "failed"
    assert [(stage["name"], stage["state"]) for stage in found[0]["stages"]] == [
        ("test", "failed"), ("publish", "skipped"),
    ]  # fmt: skip
    assert (await gateway.json("GET", f"/builds/{found[0]['id']}")) == found[0]
    path = f"/builds/{found[0]['id']}/provenance"
    shown = await gateway.json("GET", path)
    assert (shown["manifest"], shown["envelope"]) == (MANIFEST.decode(), None)
    world.envelope = seal(IN_TOTO, b"{}", world.provenance_key)
    assert (await gateway.json("GET", path))["envelope"]["payloadType"] == IN_TOTO
    assert (await gateway.json("GET", f"/artifacts/{shown['artifact_digest']}/provenance"))["build_id"]
    assert (await gateway.json("GET", "/platform/provenance-key"))["pem"] == world.provenance_key.public.pem
    problem(await gateway.call("GET", "/artifacts/nonsense/provenance"), 422, "invalid")
    problem(await gateway.call("GET", f"/artifacts/sha256:{'0' * 64}/provenance"), 404, "not_found")
    problem(await gateway.call("GET", "/builds"), 422, "invalid")
    problem(await gateway.call("GET", "/builds/bld_nonsense"), 404, "not_found")
    problem(await gateway.call("GET", "/builds?deployment_id=nonsense"), 404, "not_found")


async def test_projects_come_in_pages(gateway: Gateway) -> None:
    for number in range(5):
        await gateway.json("POST", "/projects", json={"name": f"p{number}"})
    page = await gateway.json("GET", "/projects?limit=3")
    assert [row["name"] for row in page["items"]] == ["p0", "p1", "p2"]
    rest = await gateway.json("GET", f"/projects?limit=3&cursor={page['next_cursor']}")
    assert [row["name"] for row in rest["items"]] == ["p3", "p4"]
    assert rest["next_cursor"] is None


async def test_projects_environments_and_services(gateway: Gateway) -> None:
    project = await gateway.json("POST", "/projects", json={"name": "shop"})
    assert [row["name"] for row in project["environments"]] == ["production"]
    await gateway.json("POST", f"/projects/{project['id']}/environments", json={"name": "staging"})
    rows = (await gateway.json("GET", f"/projects/{project['id']}/environments"))["items"]
    assert [row["name"] for row in rows] == ["production", "staging"]
    body = {"project_id": project["id"], "name": "web", "settings": {"replicas": 2, "health_path": "/ok"}}
    service = await gateway.json("POST", "/services", json=body)
    assert service["url"] == "http://web-production.localhost:8080"
    assert service["settings"]["replicas"] == 2
    patch = {
        "settings": {"replicas": None, "health_timeout": 9, "resources": {"memory_limit": "256Mi", "cpu_limit": 0.5}}
    }
    changed = (await gateway.json("PATCH", f"/services/{service['id']}", json=patch))["settings"]
    assert (changed["replicas"], changed["health_path"], changed["health_timeout"]) == (None, "/ok", 9)
    assert changed["resources"]["memory_limit"] == "256Mi"
    assert changed["resources"]["cpu_limit"] == "500m"
    named = (await gateway.json("GET", f"/services?project_id={project['id']}&name=web"))["items"]
    assert [row["id"] for row in named] == [service["id"]]
    await gateway.json("DELETE", f"/services/{service['id']}")
    problem(await gateway.call("GET", f"/services/{service['id']}"), 404, "not_found")
    await gateway.json("DELETE", f"/projects/{project['id']}")


async def test_variables_are_merged_replaced_sealed_and_deleted(gateway: Gateway) -> None:
    service = await gateway.service()
    for path in (f"/services/{service['id']}/variables", f"/environments/{service['environment_id']}/variables"):
        await gateway.json("PATCH", path, json={"values": {"A": "1", "B": "2"}})
        await gateway.json("PATCH", path, json={"values": {"KEY": "hidden"}, "sealed": True, "skip_deploys": True})
        rows = {row["name"]: row for row in (await gateway.json("GET", path))["items"]}
        assert (rows["A"]["value"], rows["KEY"]["value"], rows["KEY"]["sealed"]) == ("1", None, True)
        rendered = (await gateway.json("GET", f"{path}?rendered=true"))["items"]
        assert any(row["provided"] for row in rendered)
        await gateway.json("DELETE", f"{path}/B?skip_deploys=true")
        await gateway.json("PUT", path, json={"values": {"C": "3"}})
        assert [row["name"] for row in (await gateway.json("GET", path))["items"]] == ["C"]
    unknown = {"values": {"X": "${{nobody.Y}}"}}
    told = problem(await gateway.call("PATCH", f"/services/{service['id']}/variables", json=unknown), 422, "invalid")
    assert told["field"] == "X"


async def test_an_upload_streams_through_whole(gateway: Gateway) -> None:
    service = await gateway.service()
    content = gzip.compress(bytes(range(256)) * 20_000, compresslevel=0)
    made = await gateway.json("POST", f"/services/{service['id']}/snapshots", content=content, headers=TAR)
    assert made["size_bytes"] == len(content)
    assert gateway.world.snapshots[made["id"]] == content


async def test_an_upload_beyond_what_build_takes_is_413_with_its_sentence(gateway: Gateway) -> None:
    service = await gateway.service()

    async def flood() -> AsyncIterator[bytes]:
        for _ in range(400):
            yield b"\x1f\x8b" + bytes(64 * 1024)

    answer = await gateway.call("POST", f"/services/{service['id']}/snapshots", content=flood(), headers=TAR)
    assert problem(answer, 413, "exhausted")["detail"] == "The upload is larger than 8 MiB."


async def test_an_upload_that_says_it_is_too_large_is_refused_before_it_is_sent(gateway: Gateway) -> None:
    service = await gateway.service()
    reader, writer = await asyncio.open_connection(*gateway.server.address.split(":"))
    head = (
        f"POST /api/v1/services/{service['id']}/snapshots HTTP/1.1\r\nHost: x\r\nContent-Type: application/gzip\r\n"
        f"Authorization: Bearer {gateway.session}\r\nContent-Length: {600 * 1024 * 1024}\r\n\r\n"
    )
    writer.write(head.encode())
    status = await reader.readline()
    assert b"413" in status
    assert b"512.0 MiB" in await reader.read(4096)
    writer.close()


async def test_a_caller_who_leaves_in_the_middle_of_an_upload_leaves_nothing(gateway: Gateway) -> None:
    service = await gateway.service()
    _, writer = await asyncio.open_connection(*gateway.server.address.split(":"))
    head = (
        f"POST /api/v1/services/{service['id']}/snapshots HTTP/1.1\r\nHost: x\r\nContent-Type: application/gzip\r\n"
        f"Authorization: Bearer {gateway.session}\r\nContent-Length: 1000000\r\n\r\n"
    )
    writer.write(head.encode() + b"\x1f\x8b" + bytes(300_000))
    await writer.drain()
    await eventually(lambda: "UploadSnapshot" in [name for name, _ in gateway.world.calls])
    writer.close()
    assert (await gateway.call("GET", "/me")).status_code == 200
    assert gateway.world.snapshots == {}


@pytest.mark.parametrize(
    ("content", "content_type", "status"), [(b"no archive", "application/gzip", 422), (b"{}", "application/json", 422)]
)
async def test_what_is_no_archive_is_refused(gateway: Gateway, content: bytes, content_type: str, status: int) -> None:
    service = await gateway.service()
    path = f"/services/{service['id']}/snapshots"
    answer = await gateway.call("POST", path, content=content, headers={"Content-Type": content_type})
    problem(answer, status, "invalid")


async def test_a_deployment_is_made_once_for_a_key(gateway: Gateway) -> None:
    service = await gateway.service()
    body = {"service_id": service["id"], "snapshot_id": new_id("snapshot", gateway.world.clock)}
    body |= {"replicas": 2, "env_vars": {"A": "1"}, "resources": {"memory_limit": 1024, "cpu_request": "250m"}}
    first = await gateway.call("POST", "/deployments", json=body, headers={"Idempotency-Key": "k1"})
    again = await gateway.call("POST", "/deployments", json=body, headers={"Idempotency-Key": "k1"})
    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["location"] == f"/api/v1/deployments/{first.json()['id']}"
    assert first.json()["resources"] == {
        "cpu_request": "250m", "memory_request": None, "cpu_limit": None, "memory_limit": 1024,
    }  # fmt: skip


async def test_an_image_is_a_conflict_that_names_what_is_missing(gateway: Gateway) -> None:
    service = await gateway.service()
    body = {"service_id": service["id"], "image_url": "registry.example/app:1"}
    told = problem(await gateway.call("POST", "/deployments", json=body), 409, "conflict")
    assert "docker" in told["detail"]
    assert told["hint"]


async def test_deployments_are_listed_read_stopped_repeated_and_brought_back(gateway: Gateway) -> None:
    made = await gateway.deployment()
    one = await gateway.json("GET", f"/deployments/{made['id']}")
    assert one["state"] == "queued"
    assert (await gateway.json("POST", f"/deployments/{made['id']}/redeploy"))["origin_id"] == made["id"]
    assert (await gateway.json("POST", f"/deployments/{made['id']}/rollback"))["trigger"] == "rollback"
    page = await gateway.json("GET", f"/deployments?service_id={made['service_id']}&limit=2")
    assert [row["trigger"] for row in page["items"]] == ["rollback", "redeploy"]
    rest = await gateway.json("GET", f"/deployments?service_id={made['service_id']}&cursor={page['next_cursor']}")
    assert [row["id"] for row in rest["items"]] == [made["id"]]
    assert (await gateway.json("DELETE", f"/deployments/{made['id']}"))["state"] == "removing"


async def test_usage_is_answered_for_a_time(gateway: Gateway) -> None:
    service = await gateway.service()
    answer = await gateway.json("GET", "/usage?start=2026-01-01T00:00:00Z")
    assert answer["items"][0]["service_id"] == service["id"]
    assert answer["total_micro_usd"] == 1234
    problem(await gateway.call("GET", "/usage?start=yesterday"), 422, "invalid")
    problem(await gateway.call("GET", "/usage?start=2026-01-01T00:00:00"), 422, "invalid")


async def test_a_timeline_is_merged_from_all_services_and_shows_no_other_workspace(gateway: Gateway) -> None:
    made = await gateway.deployment()
    for sequence, (source, subject, workspace) in enumerate(
        [
            ("deploy", "lightrail.deploy.deployment.requested.v1", made["workspace_id"]),
            ("deploy", "lightrail.deploy.deployment.went_live.v1", made["workspace_id"]),
            ("deploy", "lightrail.deploy.deployment.failed.v1", "wsp_other"),
        ],
        1,
    ):
        payload = events_pb2.DeploymentChanged(deployment_id=made["id"], state="active", workspace_id=workspace)
        fact = gateway.world.facts
        fact.append(_fact(gateway, source, sequence, subject, workspace, made["id"], payload.SerializeToString()))
    told = await gateway.json("GET", f"/deployments/{made['id']}/timeline")
    assert told["missing"] == []
    types = {event["type"].split(".")[3] for event in told["events"]}
    assert types == {"requested", "went_live"}
    asked = [ctx.actor.kind for name, ctx in gateway.world.calls if name == "ReadFacts"]
    assert asked == ["service"] * 6


async def test_dead_letters_are_the_operators_business(gateway: Gateway) -> None:
    made = _fact(gateway, "build", 7, "lightrail.build.build.failed.v1", "wsp_x", "dep_x", b"")
    letter = gateway.world.letters.setdefault(made.id, _letter(made))
    letter.died_at.FromDatetime(gateway.world.now())
    found = await gateway.json("GET", "/platform/dead-letters")
    assert {row["fact_id"] for row in found["items"]} == {made.id}
    stranger = gateway.world.sign_up("stranger@example.test")
    problem(await gateway.call("GET", "/platform/dead-letters", token=stranger), 403, "denied")
    path = f"/platform/dead-letters/deploy/{made.id}/replay"
    problem(await gateway.call("POST", path, token=stranger), 403, "denied")
    problem(await gateway.call("POST", f"/platform/dead-letters/nobody/{made.id}/replay"), 404, "not_found")
    assert (await gateway.call("POST", path)).status_code == 204
    problem(await gateway.call("POST", path), 404, "not_found")


async def test_another_workspaces_things_do_not_exist(gateway: Gateway) -> None:
    made = await gateway.deployment()
    stranger = gateway.world.sign_up("stranger@example.test")
    paths = [
        f"/projects/{made['project_id']}",
        f"/services/{made['service_id']}",
        f"/services/{made['service_id']}/variables",
        f"/services/{made['service_id']}/logs",
        f"/deployments/{made['id']}",
        f"/deployments/{made['id']}/events",
        f"/deployments/{made['id']}/build-logs",
        f"/deployments/{made['id']}/logs",
        f"/deployments/{made['id']}/timeline",
        f"/events?project_id={made['project_id']}",
        f"/events?workspace_id={made['workspace_id']}",
    ]
    for path in paths:
        problem(await gateway.call("GET", path, token=stranger), 404, "not_found")
    upload = f"/services/{made['service_id']}/snapshots"
    problem(await gateway.call("POST", upload, token=stranger, content=b"\x1f\x8b", headers=TAR), 404, "not_found")


async def test_request_ids_and_traces_go_through(gateway: Gateway) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = await gateway.call("GET", "/me", headers={"X-Request-Id": "mine-1", "traceparent": trace})
    assert answer.headers["x-request-id"] == "mine-1"
    ctx = next(ctx for name, ctx in gateway.world.calls if name == "GetMe")
    assert ctx.request_id == "mine-1"
    assert ctx.traceparent.split("-")[1] == trace.split("-")[1]
    odd = await gateway.call("GET", "/me", headers={"X-Request-Id": "no good!"})
    assert odd.headers["x-request-id"].startswith("req_")


def _fact(
    gateway: Gateway, source: str, sequence: int, subject: str, workspace: str, about: str, payload: bytes
) -> Any:
    fact = facts_pb2.Fact(
        id=new_id("fact", gateway.world.clock), source=source, sequence=sequence, subject=subject, payload=payload
    )
    fact.workspace_id, fact.correlation_id = workspace, about
    fact.recorded_at.FromDatetime(gateway.world.now())
    return fact


def _letter(fact: Any) -> Any:
    return facts_pb2.DeadLetter(fact=fact, reason="poison", attempts=5)

"""Wrong, hostile and oversized input is refused with a sentence, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from libs.testing.eventually import eventually
from tests.e2e import archives, processes, wire
from tests.e2e.application import Application
from tests.e2e.platform import EMAIL, Json, Platform

Make = Callable[..., Awaitable[Application]]
TAR = {"Content-Type": "application/gzip"}
JSON = {"Content-Type": "application/json"}
WRONG_NAMES = ["has spaces", "ünïcode", "слово", "x" * 300, "", "-dash", "a/b", "..", "a.b", "new\nline", "nul\0"]
WRONG_TOKENS = ["nonsense", "lr_" + "0" * 40, "ls_" + "0" * 40, "a.b.c", "x" * 5000, "Bearer", "ключ"]


async def test_an_empty_directory_is_refused(application: Make) -> None:
    app = await application("static-site")
    for path in sorted(app.directory.rglob("*"), reverse=True):
        if path.is_file() and path.name not in {".lightrail", "lightrail.json"}:
            path.unlink()
    run = await app.up(check=False)
    assert run.code != 0
    assert f"There are no files to deploy in {app.directory}." in run.text
    assert (await app.get()).status_code == 503


async def test_an_unknown_language_says_what_was_looked_for(application: Make) -> None:
    app = await application("static-site")
    (app.directory / "index.html").rename(app.directory / "notes.txt")
    run = await app.up(check=False)
    assert run.code != 0
    for word in ("requirements.txt", "package.json", "index.html"):
        assert word in run.text


@pytest.mark.parametrize("kind", list(archives.HOSTILE))
async def test_a_hostile_archive_is_refused(application: Make, kind: str) -> None:
    app = await application("static-site")
    answer = await app.platform.request(
        "POST", f"/api/v1/services/{app.id}/snapshots", content=archives.HOSTILE[kind](), headers=TAR
    )
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["kind"] == "invalid"
    assert len(problem["detail"]) > 10
    assert archives.escaped(app.platform.home) == []


async def test_an_archive_bomb_is_refused(application: Make) -> None:
    app = await application("static-site")
    answer = await app.platform.request(
        "POST", f"/api/v1/services/{app.id}/snapshots", content=archives.bomb(20), headers=TAR, timeout=60
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == "archive"
    assert "unpacks to more than 2.0 GiB" in answer.json()["detail"]


@pytest.mark.parametrize("length", [600 * archives.MEGABYTE, 0], ids=["declared", "chunked"])
async def test_an_upload_of_600_mebibytes_is_refused_and_whoever_sends_all_of_it_hears_why(
    application: Make, length: int
) -> None:
    app = await application("static-site")
    parts = [part for name, part in (await app.platform.parts()).items() if name in ("gateway", "envoy")]
    before = [processes.peak_memory(part["pid"]) for part in parts]
    path = f"/services/{app.id}/snapshots"
    status, problem = await _send_first(app.platform, path, 600, length, TAR | _bearer(app.platform))
    assert status == 413
    assert "512" in problem["detail"]
    for part, peak in zip(parts, before, strict=True):
        assert processes.peak_memory(part["pid"]) - peak < 48 * archives.MEGABYTE, part["name"]


async def test_every_refusal_of_a_long_request_is_heard_by_who_sends_before_reading(platform: Platform) -> None:
    nowhere = "/services/svc_00000000000000000000000000/snapshots"
    signed_in = _bearer(platform)
    for path, headers, refusal, said in (
        (nowhere, TAR, 401, "token"),
        (nowhere, TAR | signed_in, 404, "not yours"),
        (nowhere, {"Content-Type": "text/plain"} | signed_in, 422, "tar"),
        ("/projects", JSON | signed_in, 413, "1.0 MiB"),
    ):
        status, problem = await _send_first(platform, path, 32, 32 * archives.MEGABYTE, headers)
        assert (path, status) == (path, refusal)
        assert said in problem["detail"]


async def test_an_upload_that_says_it_is_too_large_is_refused_at_once(application: Make) -> None:
    app = await application("static-site")
    path = f"/api/v1/services/{app.id}/snapshots"
    headers = {**TAR, "Content-Length": str(600 * archives.MEGABYTE)}
    status, problem = await wire.send(app.platform, path, headers, [])
    assert status == 413
    assert "512" in problem["detail"]


@pytest.mark.parametrize("name", WRONG_NAMES)
async def test_a_wrong_service_name_is_refused_and_the_field_is_named(application: Make, name: str) -> None:
    app = await application("static-site")
    answer = await app.platform.request(
        "POST", "/api/v1/services", json={"project_id": app.project["id"], "name": name}
    )
    assert answer.status_code == 422, answer.text
    assert answer.json()["field"] == "name"


@pytest.mark.parametrize("token", WRONG_TOKENS)
async def test_a_malformed_token_is_refused(platform: Platform, token: str) -> None:
    headers = {"Authorization": f"Bearer {token}".encode()}
    answer = await platform.request("GET", "/api/v1/me", token="", headers=headers)
    assert answer.status_code == 401, answer.text
    assert answer.json()["kind"] == "denied"


async def test_a_revoked_token_is_refused(platform: Platform) -> None:
    made = await platform.api("POST", "/tokens", json={"name": "short"})
    secret = made["secret"]
    assert (await platform.api("GET", "/me", token=secret))["user"]["email"] == EMAIL
    await platform.api("DELETE", f"/tokens/{made['token']['id']}")

    async def refused() -> None:
        assert (await platform.request("GET", "/api/v1/me", token=secret)).status_code == 401

    await eventually(refused, within=15, every=0.2)


async def test_an_unknown_reference_is_an_error_that_names_it(application: Make) -> None:
    app = await application("static-site")
    run = await app.lr("variables", "set", "A=${{nobody.SECRET}}", check=False)
    assert run.code != 0
    assert f"{app.name}.A → nobody.SECRET: there is no service “nobody” in this project." in run.text
    kept = await app.platform.api("GET", f"/services/{app.id}/variables")
    assert "nobody" not in str(kept)


async def test_a_circular_reference_is_an_error_that_names_the_path(application: Make) -> None:
    app = await application("static-site")
    run = await app.lr("variables", "set", "A=${{B}}", "B=${{C}}", "C=${{A}}", check=False)
    assert run.code != 0
    for name in ("A", "B", "C"):
        assert name in run.text


async def test_bodies_that_are_no_json_or_have_unknown_fields_are_refused(platform: Platform) -> None:
    malformed = await platform.request(
        "POST", "/api/v1/projects", content=b"{", headers={"Content-Type": "application/json"}
    )
    assert malformed.status_code == 400
    assert malformed.json()["kind"] == "invalid"
    unknown = await platform.request("POST", "/api/v1/projects", json={"name": "x", "colour": "blue"})
    assert unknown.status_code == 422
    assert "colour" in unknown.text
    large = await platform.request("POST", "/api/v1/projects", json={"name": "x" * 3_000_000})
    assert large.status_code == 413


async def test_ids_of_the_wrong_shape_are_not_found(platform: Platform) -> None:
    for path in ("/services/svc_nonsense", "/deployments/..%2f..%2fetc", "/deployments/dep_"):
        answer = await platform.request("GET", f"/api/v1{path}")
        assert answer.status_code == 404, f"{path}: {answer.status_code} {answer.text}"
        assert answer.json()["kind"] == "not_found"


async def test_a_path_that_is_none_is_refused_by_the_edge(platform: Platform) -> None:
    answer = await platform.request("GET", "/api/v1/projects/%00")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["kind"] == "invalid"


async def test_a_wrong_password_and_a_second_setup_are_refused(platform: Platform) -> None:
    wrong = await platform.request("POST", "/api/v1/login", token="", json={"email": EMAIL, "password": "not this one"})
    assert wrong.status_code == 401
    again = await platform.request(
        "POST",
        "/api/v1/setup",
        token="",
        json={"setup_token": "x" * 40, "email": "thief@example.test", "password": "long enough to be one", "name": "T"},
    )
    assert again.status_code == 409, again.text
    assert again.json()["kind"] == "conflict"


async def _send_first(
    platform: Platform, path: str, megabytes: int, length: int, headers: dict[str, str]
) -> tuple[int, Json]:
    pieces = archives.flood(megabytes)
    return await asyncio.to_thread(wire.send_first, platform, f"/api/v1{path}", headers, pieces, length)


def _bearer(platform: Platform) -> dict[str, str]:
    return {"Authorization": f"Bearer {platform.token}"}

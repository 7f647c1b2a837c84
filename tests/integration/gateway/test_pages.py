"""The pages people see in a browser."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import httpx2
import pytest

from libs.protogen.lightrail.project.v1 import project_pb2
from services.auth.domain.inputs import SHORTEST_PASSWORD
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.world import EMAIL, FAILED, LIVE, PASSWORD, SETUP_TOKEN

EVIL = "<script>alert(1)</script>"


async def page(gateway: Gateway, path: str = "/", *, session: str = "", **more: Any) -> httpx2.Response:
    headers = {"Cookie": f"lightrail_session={session}"} if session else {}
    return await gateway.http.request(
        more.pop("method", "GET"), path, headers=headers | more.pop("headers", {}), **more
    )


async def test_strangers_see_the_parts_and_nothing_else(gateway: Gateway) -> None:
    await gateway.service("secret-project")
    answer = await page(gateway)
    assert answer.status_code == 200
    assert "Everything is running" in answer.text
    for part in ("gateway", "auth", "build", "deploy"):
        assert part in answer.text
    assert "Sign in" in answer.text
    assert "secret-project" not in answer.text


async def test_an_unclaimed_platform_says_how_to_claim_it(gateway: Gateway) -> None:
    gateway.world.claimed = False
    assert 'href="/setup"' in (await page(gateway)).text
    form = await page(gateway, "/setup?token=%22%3E%3Cscript%3E")
    assert 'value="&quot;&gt;&lt;script&gt;"' in form.text
    fields = {"setup_token": "wrong", "email": "a@example.test", "password": "long enough", "name": EVIL}
    refused = await page(gateway, "/setup", method="POST", data=fields)
    assert refused.status_code == 403
    assert EVIL not in refused.text
    assert EVIL in unescape(refused.text), "what was typed stays"
    assert "long enough" not in refused.text
    made = await page(gateway, "/setup", method="POST", data=fields | {"setup_token": SETUP_TOKEN})
    assert (made.status_code, made.headers["location"]) == (303, "/")
    gateway.world.claimed = True
    assert "Already set up" in (await page(gateway, "/setup")).text


async def test_signing_in_shows_projects_with_state_and_url_and_signing_out_ends_it(gateway: Gateway) -> None:
    made = await gateway.deployment()
    await gateway.world.moves(made["id"], LIVE)
    answer = await page(gateway, "/login", method="POST", data={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    for word in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert word in cookie
    session = re.search(r"lightrail_session=([^;]+)", cookie)
    assert session
    text = (await page(gateway, session=session[1])).text
    assert 'href="http://hello-production.localhost:8080"' in text
    assert ">active<" in text
    assert EMAIL in text
    out = await page(gateway, "/logout", method="POST", session=session[1])
    assert out.status_code == 303
    assert EMAIL not in (await page(gateway, session=session[1])).text


async def test_a_failure_is_shown_with_its_reason_and_hostile_names_as_text(gateway: Gateway) -> None:
    made = await gateway.deployment()
    await gateway.world.moves(made["id"], FAILED, f"The build failed: {EVIL}")
    service: project_pb2.Service = gateway.world.services[made["service_id"]]
    service.name = EVIL
    text = (await page(gateway, session=gateway.session)).text
    assert EVIL not in text
    assert f"The build failed: {EVIL}" in unescape(text)


async def test_a_wrong_password_is_told_on_the_form(gateway: Gateway) -> None:
    answer = await page(gateway, "/login", method="POST", data={"email": EMAIL, "password": "wrong"})
    assert answer.status_code == 401
    assert "is wrong" in answer.text
    assert f'value="{EMAIL}"' in answer.text
    assert (await page(gateway, "/login", method="POST", data={})).status_code == 422


@pytest.mark.parametrize("header", [{"Sec-Fetch-Site": "same-site"}, {"Origin": "http://evil.localhost:8080"}])
@pytest.mark.parametrize("path", ["/login", "/logout", "/setup"])
async def test_forms_of_other_sites_are_refused(gateway: Gateway, path: str, header: dict[str, str]) -> None:
    fields = {"email": EMAIL, "password": PASSWORD, "setup_token": "x"}
    answer = await page(gateway, path, method="POST", data=fields, headers=header, session=gateway.session)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert gateway.session in gateway.world.actors


async def test_nothing_on_a_page_runs_or_comes_from_elsewhere(gateway: Gateway) -> None:
    for path in ("/", "/login", "/setup"):
        answer = await page(gateway, path)
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe" not in policy
        assert answer.headers["x-frame-options"] == "DENY"
        assert "<script" not in answer.text
        assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)


async def test_swagger_ui_comes_whole_from_here(gateway: Gateway) -> None:
    text = (await page(gateway, "/api/v1/docs")).text
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', text)
    assert len(assets) == 3
    for asset in assets:
        answer = await page(gateway, asset)
        assert answer.status_code == 200
        assert answer.content
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', text)
    bundle = (await page(gateway, "/api/v1/docs/swagger-ui-bundle.js")).text
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', bundle)
    assert version
    assert int(version[1]) >= 5
    assert (await page(gateway, "/api/v1/docs/..%2f__init__.py")).status_code == 404


async def test_a_person_who_goes_where_nothing_is_reads_a_page_and_a_program_a_problem(gateway: Gateway) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    answer = await page(gateway, f"/{EVIL}", headers=browser)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert EVIL not in answer.text
    assert f"/{EVIL}" in unescape(answer.text)
    for path, headers in (("/nowhere", {}), ("/api/v1/nowhere", browser)):
        answer = await page(gateway, path, headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


async def test_forms_let_people_type_where_something_is_missing(gateway: Gateway) -> None:
    gateway.world.claimed = False

    async def first(path: str, **more: Any) -> str:
        text = (await page(gateway, path, **more)).text
        inputs = re.findall(r"<input[^>]*autofocus[^>]*>", text)
        assert len(inputs) == 1
        return re.sub(r'.* name="([^"]+)".*', r"\1", inputs[0])

    assert await first("/login") == "email"
    assert await first("/login", method="POST", data={"email": EMAIL, "password": "wrong"}) == "password"
    assert await first("/setup") == "setup_token"
    assert await first("/setup?token=abc") == "name"
    typed = {"setup_token": SETUP_TOKEN, "email": "a@example.test", "password": "short", "name": ""}
    assert await first("/setup", method="POST", data=typed | {"setup_token": "wrong"}) == "password"


async def test_the_set_up_page_asks_for_a_password_that_auth_takes(gateway: Gateway) -> None:
    gateway.world.claimed = False
    assert f"{SHORTEST_PASSWORD} characters or more" in (await page(gateway, "/setup")).text

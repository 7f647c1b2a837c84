"""Every example is built, started and called through the edge."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from libs.testing.eventually import eventually
from tests.e2e.application import Application

Make = Callable[..., Awaitable[Application]]
# A worker counts a line each 0.2 s in these tests.
INTERVAL = "0.2"


async def test_guestbook_takes_an_entry_and_shows_it(application: Make) -> None:
    app = await application("guestbook-python")
    run = await app.up()
    assert app.host in run.text, "lr up ends with the URL"
    assert "Nobody has signed yet" in await app.text()
    signed = await app.get("/entries", method="POST", data={"name": "Ann", "message": "was here"})
    assert signed.status_code == 303
    assert "<strong>Ann</strong>: was here" in await app.text()


async def test_flask_answers_and_knows_its_service(application: Make) -> None:
    app = await application("flask-pip")
    await app.up()
    assert await app.text() == "Hello from Flask\n"
    told = (await app.get("/whoami")).json()
    assert (told["service"], told["environment"]) == (app.name, "production")


async def test_django_shows_its_page_and_its_static_files(application: Make) -> None:
    app = await application("django-mini")
    await app.up()
    page = await app.text()
    assert "Hello from Django" in page
    style = re.search(r'href="([^"]+\.css)"', page)
    assert style is not None
    assert "font" in await app.text(style.group(1))
    assert (await app.get("/add/20/22")).json() == {"sum": 42}


async def test_express_answers_and_sees_the_headers_of_the_edge(application: Make) -> None:
    app = await application("node-express")
    await app.up()
    assert await app.text() == "Hello from Express\n"
    seen = (await app.get("/headers")).json()
    assert seen["x-forwarded-proto"] == "http"
    assert seen["x-request-id"]


async def test_static_site_serves_pages_types_and_folders(application: Make) -> None:
    app = await application("static-site")
    await app.up()
    page = await app.get()
    assert "Served as it lies" in page.text
    assert page.headers["content-type"].startswith("text/html")
    assert (await app.get("/style.css")).headers["content-type"].startswith("text/css")
    assert (await app.get("/mark.svg")).headers["content-type"].startswith("image/svg+xml")
    assert "<h1>About</h1>" in await app.text("/about/")
    assert (await app.get("/no-such-page")).status_code == 404


async def test_worker_runs_without_a_port_and_its_lines_arrive_in_order(application: Make) -> None:
    app = await application("worker-python")
    await app.lr("variables", "set", f"INTERVAL_SECONDS={INTERVAL}")
    await app.up()
    deployment = (await app.deployments())[0]
    assert deployment["state"] == "active"
    assert not deployment.get("url")

    async def ten_lines() -> list[str]:
        lines = await app.logs()
        assert len(lines) >= 10
        return lines

    lines = await eventually(ten_lines, within=20, every=0.5)
    assert lines == [f"line {number}" for number in range(1, len(lines) + 1)]


async def test_slow_start_goes_live_when_it_listens_and_not_before(application: Make) -> None:
    app = await application("slow-start")
    await app.lr("variables", "set", "START_SECONDS=3", "GREETING=good morning")
    before = await app.get()
    assert before.status_code in {404, 503}
    await app.up()
    assert await app.text() == "good morning, after 3 s\n"
    assert (await app.logs())[:2] == ["warming up for 3 s", "ready"]


async def test_broken_build_fails_and_shows_the_failing_line(application: Make) -> None:
    app = await application("broken-build")
    run = await app.up(check=False)
    assert run.code != 0
    assert "flask==99.0.0" in run.text
    assert (await app.deployments())[0]["state"] == "failed"
    log = await app.lr("logs", "--build")
    assert "flask==99.0.0" in log.text


async def test_crash_loop_ends_crashed_after_its_restart_budget(application: Make) -> None:
    app = await application("crash-loop")
    await app.settings(restart_max_retries=2)
    run = await app.up(check=False)
    assert run.code != 0
    ended = await app.becomes("crashed")
    assert "1" in ended["reason"], "the reason names the exit code"
    lines = await app.logs()
    assert lines == ["cannot reach the database, giving up"] * 3, "the first start and two restarts"
    assert app.processes() == set()

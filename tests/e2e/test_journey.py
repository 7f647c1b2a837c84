"""A person changes an application, breaks it, looks at it, rolls it back and takes it down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from libs.testing.eventually import eventually
from tests.e2e.application import Application
from tests.e2e.load import load
from tests.e2e.platform import Platform

Make = Callable[..., Awaitable[Application]]
BROKEN_SCRIPT = "console.error('build.js: cannot find the template home.html'); process.exit(3)\n"


async def test_a_changed_file_is_live_after_a_second_up(application: Make) -> None:
    app = await application("guestbook-python")
    await app.up()
    app.edit("main.py", "Welcome to the guestbook", "Second edition")
    await app.up()
    assert "Second edition" in await app.text()
    states = [deployment["state"] for deployment in await app.deployments()]
    assert states[0] == "active"
    assert states[1] in {"removing", "removed"}


async def test_a_failing_build_leaves_the_old_version_serving_and_shows_the_failing_line(application: Make) -> None:
    app = await application("node-express")
    await app.up()
    running = app.processes()
    app.write("build.js", BROKEN_SCRIPT)
    app.edit("package.json", '"start": "node server.js"', '"start": "node server.js", "build": "node build.js"')
    run = await app.up(check=False)
    assert run.code != 0
    assert "cannot find the template home.html" in run.text
    assert await app.text() == "Hello from Express\n"
    assert app.processes() == running
    states = [deployment["state"] for deployment in await app.deployments()]
    assert states == ["failed", "active"]


async def test_a_version_that_never_gets_healthy_leaves_the_old_one_serving(application: Make) -> None:
    app = await application("flask-pip")
    await app.settings(health_path="/", health_timeout=8)
    await app.up()
    app.edit("app.py", 'return f"{MESSAGE}\\n"', "raise RuntimeError(MESSAGE)")
    run = await app.up(check=False)
    assert run.code != 0
    assert await app.text() == "Hello from Flask\n"
    assert [deployment["state"] for deployment in await app.deployments()] == ["failed", "active"]


async def test_an_app_that_ignores_port_fails_with_a_sentence_that_says_so(application: Make) -> None:
    app = await application("slow-start")
    await app.settings(health_timeout=4)
    app.edit("main.py", 'int(os.environ["PORT"])', "0")
    await app.lr("variables", "set", "START_SECONDS=0")
    run = await app.up(check=False)
    assert run.code != 0
    failed = (await app.deployments())[0]
    assert failed["state"] == "failed"
    assert "PORT" in failed["reason"]
    assert "PORT" in run.text

    async def stopped() -> None:
        assert app.processes() == set()

    await eventually(stopped, within=30, every=0.2)


async def test_rollback_serves_the_old_content_again_without_a_build(application: Make) -> None:
    app = await application("static-site")
    await app.up()
    first = (await app.deployments())[0]["id"]
    app.edit("index.html", "Served as it lies", "A mistake")
    await app.up()
    assert "A mistake" in await app.text()
    await app.lr("rollback", first)
    newest = await app.becomes("active")
    assert newest["trigger"] == "rollback"
    assert newest["origin_id"] == first
    assert "Served as it lies" in await app.text()


async def test_redeploy_builds_the_same_source_again(application: Make) -> None:
    app = await application("static-site")
    await app.up()
    app.edit("index.html", "Served as it lies", "Not uploaded")
    # The same source, plan and variables: what was built is taken over, and the log says so.
    assert "Reused: bld_" in (await app.lr("redeploy")).text
    newest = await app.becomes("active")
    assert newest["trigger"] == "redeploy"
    assert len(await app.deployments()) == 2
    assert "Served as it lies" in await app.text()


async def test_variables_and_a_reference_reach_the_app(application: Make) -> None:
    upstream = await application("slow-start")
    await upstream.lr("variables", "set", "--skip-deploys", "START_SECONDS=0", "API_KEY=k-123")
    app = await application("flask-pip", beside=upstream)
    await app.lr("variables", "set", f"UPSTREAM=https://x/?key=${{{{{upstream.name}.API_KEY}}}}")
    await app.up()
    assert (await app.get("/whoami")).json()["upstream"] == "https://x/?key=k-123"


async def test_a_changed_variable_deploys_again(application: Make) -> None:
    app = await application("flask-pip")
    await app.up()
    await app.lr("variables", "set", "UPSTREAM=changed")

    async def changed() -> None:
        assert (await app.get("/whoami")).json()["upstream"] == "changed"

    await eventually(changed, within=60, every=0.3)
    newest = await app.becomes("active")
    assert newest["trigger"] == "variables"


async def test_logs_follow_what_the_app_prints(application: Make) -> None:
    app = await application("guestbook-python")
    await app.up()
    for number in range(20):
        await app.get("/entries", method="POST", data={"name": f"guest {number}", "message": "."})

    async def all_there() -> list[str]:
        lines = [line for line in await app.logs() if line.startswith("entry from")]
        assert len(lines) == 20
        return lines

    assert await eventually(all_there, within=15, every=0.5) == [f"entry from guest {number}" for number in range(20)]


async def test_run_gives_a_local_command_the_services_variables(application: Make) -> None:
    app = await application("static-site")
    await app.lr("variables", "set", "--skip-deploys", "COLOUR=blue")
    run = await app.lr("run", "--", "python3", "-c", "import os; print(os.environ['COLOUR'])")
    assert run.out.strip() == "blue"
    failing = await app.lr("run", "--", "python3", "-c", "raise SystemExit(7)", check=False)
    assert failing.code == 7


async def test_down_stops_the_app_and_its_name_says_so(application: Make) -> None:
    app = await application("flask-pip")
    await app.up()
    assert app.processes()
    await app.lr("down", "--yes")

    async def gone() -> None:
        assert app.processes() == set()
        assert (await app.get()).status_code in {404, 503}

    await eventually(gone, within=60, every=0.3)
    assert {deployment["state"] for deployment in await app.deployments()} <= {"removing", "removed"}


async def test_a_deleted_project_stops_what_runs_frees_its_name_and_keeps_its_history(
    application: Make, platform: Platform
) -> None:
    app = await application("static-site")
    await app.up()
    [deployed] = await app.deployments()
    await platform.api("DELETE", f"/projects/{app.project['id']}")
    project = app.project = await platform.api("POST", "/projects", json={"name": app.name})

    async def free() -> None:
        wanted = {"project_id": project["id"], "name": app.name}
        again = await platform.api("POST", "/services", json=wanted)
        host = (await platform.api("GET", f"/services/{again['id']}"))["public_domain"]
        if host != app.host:
            await platform.api("DELETE", f"/services/{again['id']}")
        assert host == app.host

    await eventually(free, within=30)
    assert "has no running deployment" in (await app.get()).text
    await app.becomes("removed", deployed["id"])
    assert not app.processes()
    assert [row["id"] for row in await app.deployments()] == [deployed["id"]]
    trace = await platform.lr("platform", "trace", deployed["id"], "--json")
    assert "went_live" in trace.out


async def test_a_newer_push_supersedes_those_that_wait(application: Make) -> None:
    app = await application("slow-start")
    await app.lr("variables", "set", "--skip-deploys", "START_SECONDS=2")
    await app.up()
    for _ in range(3):
        await app.lr("up", "--detach")
    newest = (await app.deployments())[0]["id"]
    await app.becomes("active", newest)

    async def settled() -> None:
        states = [deployment["state"] for deployment in await app.deployments()]
        assert states.count("active") == 1
        assert set(states) <= {"active", "removing", "removed", "skipped"}

    await eventually(settled, within=60, every=0.3)


async def test_no_request_fails_while_versions_change(application: Make) -> None:
    app = await application("flask-pip")
    await app.settings(drain_seconds=3)
    await app.up()
    async with load(app.platform.port, app.host, per_second=50) as counts:
        for number in range(6):
            app.write("edition.txt", f"{number}\n")
            await app.up()
    assert counts.sent > 100
    assert counts.failed == 0, counts.failures


async def test_a_request_that_is_held_when_a_version_leaves_is_answered(application: Make) -> None:
    app = await application("node-express")
    await app.up()
    app.edit("server.js", "Hello from Express", "New from Express")
    app.edit("server.js", "1000", "1001")
    async with asyncio.TaskGroup() as group:
        deploying = group.create_task(app.up())
        answers = []
        while not deploying.done():
            answers.append((await app.get("/slow")).status_code)
    assert set(answers) == {200}
    assert await app.text() == "New from Express\n"


async def test_what_is_shown_is_json_as_well(application: Make, platform: Platform) -> None:
    app = await application("static-site")
    events = (await app.lr("up", "--json")).lines()
    assert all(isinstance(event, dict) for event in events)
    assert any("active" in json.dumps(event) for event in events[-2:])
    verbs: list[tuple[str, ...]] = [
        ("whoami",), ("list",), ("status",), ("deployments",), ("variables", "list"), ("platform", "status"),
    ]  # fmt: skip
    for verb in verbs:
        answer: Any = (await app.lr(*verb, "--json")).json()
        assert isinstance(answer, dict | list), verb
    assert (await app.lr("logs", "--build", "--json")).lines()
    parts = await platform.parts()
    assert {"postgres", "nats", "envoy"} <= parts.keys()
    for part in parts.values():
        assert {"pid", "state", "memory_bytes"} <= part.keys()


async def test_the_timeline_of_a_deployment_spans_services(application: Make) -> None:
    app = await application("static-site")
    await app.up()
    deployment_id = (await app.deployments())[0]["id"]
    trace = (await app.lr("platform", "trace", deployment_id)).out
    for word in ("requested", "build", "succeeded", "went_live"):
        assert word in trace

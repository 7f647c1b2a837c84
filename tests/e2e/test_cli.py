"""The command line as a person uses it: from nothing to a live app, leaving in the middle, watching logs."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from libs.kernel.ids import new_id
from libs.runtime.clock import SystemClock
from libs.testing.eventually import eventually
from tests.e2e import processes
from tests.e2e.application import Application, copy_of
from tests.e2e.platform import LR, Platform

Make = Callable[..., Awaitable[Application]]


@asynccontextmanager
async def typed(app: Application, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Runs `lr` while the block does, in the application's directory."""
    process = await asyncio.create_subprocess_exec(
        *LR, *arguments, cwd=app.directory, env=app.platform.environ,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(process: asyncio.subprocess.Process, word: str) -> list[str]:
    """Reads lines until one holds a word, and gives them all."""
    lines: list[str] = []
    assert process.stdout
    async with asyncio.timeout(60):
        while line := (await process.stdout.readline()).decode():
            lines.append(line.rstrip("\n"))
            if word in line:
                return lines
    raise AssertionError(f"“{word}” never came: {lines}")


async def test_from_nothing_to_a_live_app(platform: Platform, tmp_path: Path) -> None:
    name = f"first-{new_id('run', SystemClock())[-6:]}"
    here = copy_of("static-site", tmp_path)
    assert name in (await platform.lr("init", "--name", name, cwd=here)).out
    run = await platform.lr("up", "--new", "web", cwd=here)
    url = (await platform.lr("open", "--json", cwd=here)).json()["url"]
    assert url in run.out
    assert f":{platform.port}" in url
    listed = (await platform.lr("list", "--json")).json()
    project = next(row for row in listed if row["name"] == name)
    assert [service["name"] for service in project["services"]] == ["web"]
    status = (await platform.lr("status", "--json", cwd=here)).json()
    assert status["services"][0]["live"]["state"] == "active"
    assert "active" in (await platform.lr("deployments", cwd=here)).out
    host = status["services"][0]["public_domain"]
    assert "Served as it lies" in (await platform.visit(host)).text
    await platform.api("DELETE", f"/projects/{project['id']}")


async def test_a_directory_inside_a_linked_one_belongs_to_it(application: Make) -> None:
    app = await application("static-site")
    await app.up()
    inside = app.directory / "about"
    status = (await app.platform.lr("status", "--json", cwd=inside)).json()
    assert status["project_id"] == app.project["id"]


async def test_ignored_files_stay_at_home(application: Make) -> None:
    app = await application("static-site")
    app.write(".gitignore", "secret.txt\n")
    app.write(".lightrailignore", "drafts/\n")
    app.write("secret.txt", "do not tell\n")
    app.write("drafts/index.html", "not yet\n")
    await app.up()
    assert (await app.get("/index.html")).status_code == 200
    assert (await app.get("/secret.txt")).status_code == 404
    assert (await app.get("/drafts/")).status_code == 404


async def test_ctrl_c_leaves_the_deployment_to_go_on(application: Make) -> None:
    app = await application("slow-start")
    await app.lr("variables", "set", "--skip-deploys", "START_SECONDS=2")
    async with typed(app, "up") as process:
        await until(process, "deploying")
        process.send_signal(signal.SIGINT)
        out, _ = await process.communicate()
    assert process.returncode == 130
    made = (await app.deployments())[0]["id"]
    assert f"Look again: lr status, or lr logs --build {made}" in out.decode()
    await app.becomes("active")
    assert "after 2 s" in await app.text()


async def test_followed_logs_come_as_they_are_printed(application: Make) -> None:
    app = await application("guestbook-python")
    await app.up()
    async with typed(app, "logs", "--follow", "--json") as process:
        await until(process, "guestbook is open")
        await app.get("/entries", method="POST", data={"name": "late guest", "message": "."})
        lines = await until(process, "entry from late guest")
    cursors = [json.loads(line)["cursor"] for line in lines]
    assert cursors == sorted(cursors)


async def test_two_replicas_run_and_a_dead_one_is_replaced(application: Make) -> None:
    app = await application("flask-pip")
    await app.lr("service", "set", "--replicas", "2", "--memory", "128Mi")
    await app.up()
    deployment = await app.deployment((await app.deployments())[0]["id"])
    assert [row["state"] for row in deployment["instances"]] == ["healthy", "healthy"]
    before = app.processes()
    for pid, _ in before:
        processes.kill_if_alive(pid)

    async def replaced() -> None:
        now = await app.deployment(deployment["id"])
        assert now["state"] == "active"
        living = [row["state"] for row in now["instances"] if row["state"] != "exited"]
        assert living == ["healthy", "healthy"]
        assert not app.processes() & before
        assert (await app.get()).status_code == 200

    await eventually(replaced, within=60, every=0.3)
    listed = (await app.deployments())[0]["instances"]
    assert [row["state"] for row in listed] == ["healthy", "healthy"], "a list has what runs, not what exited"
    assert any(
        "Restart" in line["text"] for line in (await app.lr("logs", "--json")).lines() if line["stream"] == "platform"
    )


async def test_sealed_variables_reach_the_app_and_nobody_else(application: Make) -> None:
    app = await application("flask-pip")
    await app.lr("variables", "set", "--sealed", "UPSTREAM=s3cret-value")
    await app.up()
    assert (await app.get("/whoami")).json()["upstream"] == "s3cret-value"
    for verb in (("variables", "list"), ("variables", "list", "--rendered"), ("variables", "list", "--json")):
        assert "s3cret-value" not in (await app.lr(*verb)).text


async def test_output_of_an_app_never_shows_a_secret(application: Make) -> None:
    app = await application("slow-start")
    app.edit("main.py", 'print("ready", flush=True)', 'print("token is", os.environ["API_TOKEN"], flush=True)')
    await app.lr("variables", "set", "--sealed", "API_TOKEN=tok-58c1f0aa92e7")
    await app.lr("variables", "set", "START_SECONDS=0")
    await app.up()

    async def printed() -> list[str]:
        lines = await app.logs()
        assert any(line.startswith("token is") for line in lines)
        return lines

    assert "tok-58c1f0aa92e7" not in "\n".join(await eventually(printed, within=20, every=0.5))

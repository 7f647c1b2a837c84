"""`lr` as people type it, against the real API."""

from __future__ import annotations

import asyncio
import signal
import stat
import sys
from pathlib import Path

import pytest

from libs.protogen.lightrail.deploy.v1 import deploy_pb2
from libs.testing.eventually import eventually
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.shell import Person, linked
from tests.integration.gateway.world import EMAIL, FAILED, LIVE, SETUP_TOKEN, STATES


async def build(gateway: Gateway, lines: list[str], state: int, reason: str = "") -> None:
    """Does what build and deploy do: gives the newest deployment a log, then moves it to its end."""
    world = gateway.world
    known = set(world.deployments)
    asked = [name for name, _ in world.calls].count("StreamBuildLog")

    def made() -> str:
        new = [key for key in world.deployments if key not in known]
        assert new
        return new[0]

    deployment = await eventually(made, within=30)
    world.building.add(deployment)
    world.build_lines[deployment] = list(lines)
    await world.moves(deployment, STATES.DEPLOYMENT_STATE_BUILDING)
    await eventually(lambda: asked < [name for name, _ in world.calls].count("StreamBuildLog"), within=30)
    world.building.discard(deployment)
    await world.moves(deployment, state, reason)


async def test_the_first_login_makes_the_first_account_and_is_kept_privately(gateway: Gateway, tmp_path: Path) -> None:
    gateway.world.claimed = False
    person = Person(gateway, tmp_path, tmp_path)
    refused = await person.lr("login", "--email", "a@example.test", "--password-stdin", stdin="long enough")
    assert refused.code == 1
    assert "--setup-token" in refused.err
    arguments = ["login", "--email", "a@example.test", "--password-stdin"]
    # Not as an argument, which everybody on the machine may read.
    person.environ["LIGHTRAIL_SETUP_TOKEN"] = SETUP_TOKEN
    assert "a@example.test" in (await person.ok(*arguments, stdin="long enough")).out
    kept = tmp_path / "config" / "credentials.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "a@example.test" in (await person.ok("whoami")).out
    assert (await person.ok("whoami", "--json")).json()["user"]["operator"] is True
    await person.ok("logout")
    gone = await person.lr("whoami")
    assert gone.code == 1
    assert "lr login" in gone.err


async def test_a_wrong_password_is_one_sentence(gateway: Gateway, tmp_path: Path) -> None:
    person = Person(gateway, tmp_path, tmp_path)
    run = await person.lr("login", "--email", EMAIL, "--password-stdin", stdin="wrong")
    assert run.code == 1
    assert "wrong" in run.err
    assert "lr login" not in run.err
    token = await person.lr("login", "--token", "lr_nonsense")
    assert token.code == 1
    assert token.err.strip()
    assert "lr login" not in token.err
    told = (await person.lr("login", "--email", EMAIL, "--password-stdin", "--json", stdin="wrong")).json()
    assert told["error"]["kind"] == "denied"


async def test_a_token_of_the_environment_needs_no_login(person: Person, tmp_path: Path) -> None:
    secret = (await person.ok("tokens", "create", "ci", "--days", "7")).out.strip()
    other = Person(person.gateway, tmp_path / "other", person.directory, {"LIGHTRAIL_TOKEN": secret})
    assert "ci" in (await other.ok("whoami")).out
    assert [row["name"] for row in (await person.ok("tokens", "list", "--json")).json()] == ["ci"]
    await person.ok("tokens", "revoke", "ci")
    refused = await other.lr("whoami")
    assert refused.code == 1
    assert "lr login" in refused.err


@pytest.mark.parametrize("verb", ["up", "logs", "status", "deployments", "down", "open", "usage"])
async def test_outside_of_a_linked_directory_nothing_is_made(person: Person, verb: str) -> None:
    run = await person.lr(verb)
    assert run.code == 1
    assert "lr init" in run.err
    assert "lr link" in run.err
    assert person.gateway.world.projects == {}


async def test_up_makes_what_it_was_told_to_and_ends_with_the_url(person: Person) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(build(person.gateway, ["installing", "built"], LIVE))
        run = await person.ok("up", "--new", "site")
    assert "installing" in run.out
    assert run.out.strip().endswith("http://site-production.localhost:8080")
    world = person.gateway.world
    assert [project.name for project in world.projects.values()] == ["site"]
    assert len(world.snapshots) == 1
    again = await person.ok("up", "--detach")
    assert "queued" in again.out
    assert len(world.projects) == 1
    assert {row.name for row in world.services.values()} == {"site"}
    elsewhere = Person(person.gateway, person.home, person.home)
    clash = await elsewhere.lr("up", "--new", "site", str(person.directory.parent))
    assert clash.code == 1


async def test_an_empty_name_for_a_new_service_does_not_deploy_to_the_linked_one(person: Person) -> None:
    await linked(person)
    for more in ((), ("--git", "https://example.com/app.git")):
        run = await person.lr("up", "--new", "", *more)
        assert (run.code, "--new is empty." in run.err) == (1, True)
    assert person.gateway.world.deployments == {}


async def test_an_empty_address_of_a_repository_does_not_deploy_the_directory_instead(person: Person) -> None:
    run = await person.lr("up", "--new", "site", "--git", "")
    assert run.code == 1
    assert "--git is empty" in run.err
    assert person.gateway.world.projects == {}


async def test_up_as_json_is_a_line_for_each_thing_that_happens(person: Person) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(build(person.gateway, ["one"], LIVE))
        events = (await person.ok("up", "--new", "site", "--json")).lines()
    assert events[0]["type"] == "snapshot"
    assert "active" in [event["state"] for event in events if event["type"] == "state"]
    assert {"type": "log", "text": "one"}.items() <= next(row for row in events if row["type"] == "log").items()
    assert events[-1]["state"] == "active"
    assert events[-1]["url"].startswith("http://site-")


async def test_a_failed_deployment_ends_with_the_reason_and_the_failing_line(person: Person) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(build(person.gateway, ["error: no such package"], FAILED, "The step install failed."))
        run = await person.lr("up", "--new", "site")
    assert run.code == 1
    assert "error: no such package" in run.out
    assert "The step install failed." in run.err
    assert "lr logs --build" in run.err


async def test_ctrl_c_leaves_the_deployment_to_itself(person: Person) -> None:
    process = await person.start("up", "--new", "site")
    await eventually(lambda: "StreamBuildLog" in [name for name, _ in person.gateway.world.calls], within=30)
    process.send_signal(signal.SIGINT)
    out, err = await process.communicate()
    assert process.returncode == 130, err
    assert "Look again: lr" in err.decode()
    assert "Traceback" not in err.decode()
    states = {row.state for row in person.gateway.world.deployments.values()}
    assert states == {STATES.DEPLOYMENT_STATE_QUEUED}, out


async def test_an_empty_directory_makes_nothing(person: Person) -> None:
    (person.directory / "index.html").unlink()
    run = await person.lr("up", "--new", "site")
    assert run.code == 1
    assert "no files" in run.err
    assert person.gateway.world.projects == {}


async def test_init_link_list_status_and_open(person: Person) -> None:
    assert "shop" in (await person.ok("init", "--name", "shop")).out
    again = await person.lr("init")
    assert again.code == 1
    assert "lr link" in again.err
    project = next(iter(person.gateway.world.projects))
    service = await person.gateway.json("POST", "/services", json={"project_id": project, "name": "web"})
    await person.gateway.json("POST", "/services", json={"project_id": project, "name": "worker"})
    several = await person.lr("logs")
    assert several.code == 1
    assert "web, worker" in several.err
    await person.ok("link", "--project", "shop", "--service", "web")
    listed = (await person.ok("list", "--json")).json()
    assert [row["name"] for row in listed[0]["services"]] == ["web", "worker"]
    status = (await person.ok("status", "--json")).json()
    assert (status["project_name"], status["service_id"]) == ("shop", service["id"])
    assert "not deployed" in (await person.ok("status")).out
    unopened = await person.ok("open")
    assert unopened.out.strip() == "http://web-production.localhost:8080"
    assert "Nothing is live there yet" in unopened.err
    assert (await person.ok("open", "--json")).json()["live"] is False
    assert "never deployed" in (await person.ok("logs")).err
    person.gateway.world.services[service["id"]].public_domain = ""
    worker = await person.lr("open")
    assert (worker.code, worker.out) == (1, "")
    assert "worker" in worker.err
    unknown = await person.lr("link", "--project", "nothing")
    assert unknown.code == 1
    assert "shop" in unknown.err


async def test_variables(person: Person) -> None:
    service = await linked(person)
    (person.directory / ".env").write_text("FROM_FILE='a b'\nBOTH=file\n", encoding="utf-8")
    await person.ok("variables", "set", "A=1", "BOTH=line", "URL=http://x/?a=b", "--file", ".env", "--skip-deploys")
    await person.ok("variables", "set", "KEY=hidden", "--sealed")
    out = (await person.ok("variables", "list")).out
    assert set(out.splitlines()) == {"A=1", "BOTH=line", "FROM_FILE=a b", "KEY=(sealed)", "URL=http://x/?a=b"}
    assert "LIGHTRAIL_PROJECT_NAME=p" in (await person.ok("variables", "list", "--rendered")).out
    refused = await person.lr("variables", "delete", "A", "NOPE", "NEITHER")
    assert refused.code == 1
    assert "NOPE, NEITHER; nothing was deleted" in refused.err
    await person.ok("variables", "delete", "A", "URL")
    await person.ok("variables", "set", "S=1", "--shared")
    world = person.gateway.world
    assert set(world.variables[service["id"], ""]) == {"BOTH", "FROM_FILE", "KEY"}
    assert set(world.variables["", service["environment_id"]]) == {"S"}
    for arguments in (["set"], ["set", "NOVALUE"], ["set", "=x"], ["delete"], ["delete", "NOBODY"]):
        run = await person.lr("variables", *arguments)
        assert run.code == 1, arguments
        assert run.err.strip()
    unknown = await person.lr("variables", "set", "A=${{nobody.X}}")
    assert unknown.code == 1
    assert "nobody" in unknown.err


async def test_run_has_the_variables_and_passes_the_exit_code_on(person: Person) -> None:
    await linked(person)
    await person.ok("variables", "set", "COLOUR=dark blue")
    code = "import os, sys; print(os.environ['COLOUR'], sys.argv[1:]); sys.exit(7)"
    run = await person.lr("run", "--", sys.executable, "-c", code, "--json", "-x")
    assert (run.code, run.out) == (7, "dark blue ['--json', '-x']\n")
    missing = await person.lr("run", "--", "no-such-command-here")
    assert missing.code == 1
    assert "no-such-command-here" in missing.err


async def test_deployments_rollback_redeploy_and_down(person: Person) -> None:
    await linked(person)
    ids = []
    for _ in range(2):
        await person.ok("up", "--detach")
        ids.append(list(person.gateway.world.deployments)[-1])
        await person.gateway.world.moves(ids[-1], LIVE)
    await person.gateway.world.moves(ids[0], STATES.DEPLOYMENT_STATE_REMOVED)
    assert [row["id"] for row in (await person.ok("deployments", "--json")).json()] == ids[::-1]
    async with asyncio.TaskGroup() as group:
        group.create_task(build(person.gateway, [], LIVE))
        run = await person.ok("rollback")
    assert "Live" in run.out
    assert (await person.ok("open")).err == ""
    newest = list(person.gateway.world.deployments.values())[-1]
    assert (newest.trigger, newest.origin_id) == ("rollback", ids[0])
    await person.ok("redeploy", ids[1], "--detach")
    assert list(person.gateway.world.deployments.values())[-1].origin_id == ids[1]
    unsure = await person.lr("down")
    assert unsure.code == 1
    assert "--yes" in unsure.err
    await person.ok("down", "--yes")
    running = [row for row in person.gateway.world.deployments.values() if row.state == LIVE]
    assert running == []
    wrong = await person.lr("rollback", "dep_nonsense")
    assert wrong.code == 1


async def test_logs_of_the_service_of_a_deployment_and_of_its_build(person: Person) -> None:
    await linked(person)
    await person.ok("up", "--detach")
    deployment = next(iter(person.gateway.world.deployments))
    for number, stream in enumerate(["output", "platform", "output"], 1):
        line = deploy_pb2.LogLine(cursor=number, deployment_id=deployment, stream=stream, text=f"line {number}")
        line.time.FromDatetime(person.gateway.world.now())
        person.gateway.world.log_lines.append(line)
    person.gateway.world.build_lines[deployment] = ["installed"]
    assert (await person.ok("logs")).out == "line 1\nline 2\nline 3\n"
    assert [row["text"] for row in (await person.ok("logs", "--json", "-n", "1")).lines()] == ["line 3"]
    assert (await person.ok("logs", deployment, "-n", "2")).out == "line 2\nline 3\n"
    assert (await person.ok("logs", "--deployment", deployment, "--build")).out.split() == ["install", "installed"]
    assert [row["number"] for row in (await person.ok("logs", "--build", "--json")).lines()] == [1]
    person.gateway.world.build_lines[deployment] += ["built", "packed"]
    assert (await person.ok("logs", "--build", "-n", "2")).out.split()[1::2] == ["built", "packed"]
    assert len((await person.ok("logs", "--build")).out.splitlines()) == 3
    for wrong in ("-5", "0", "5001"):
        refused = await person.lr("logs", "-n", wrong)
        assert (refused.code, refused.out) == (1, "")
        assert f"--lines is {wrong}, which is no number from 1 to 5000." in refused.err


async def test_usage(person: Person) -> None:
    await linked(person)
    assert "web" in (await person.ok("usage")).out
    assert (await person.ok("usage", "--json", "--since", "2026-01-31")).json()["total_micro_usd"] == 1234


async def test_a_token_for_a_project_needs_no_link(person: Person) -> None:
    await linked(person)
    secret = (await person.ok("tokens", "create", "pipeline", "--project", "--json")).json()["secret"]
    pipeline = Person(person.gateway, person.home / "ci", person.directory, {"LIGHTRAIL_TOKEN": secret})
    await pipeline.ok("up", "--service", "web", "--detach")
    assert len(person.gateway.world.deployments) == 1


async def test_wrong_words_are_told_and_cost_a_code(person: Person) -> None:
    for arguments in (["nonsense"], ["up", "--nonsense"], ["logs", "-n", "many"]):
        assert (await person.lr(*arguments)).code == 2, arguments
    assert "Deploy a directory" in (await person.ok("--help")).out


async def test_a_platform_that_is_away_is_one_sentence(person: Person) -> None:
    person.environ = {"LIGHTRAIL_API": "http://127.0.0.1:9", "LIGHTRAIL_TOKEN": "x"}
    run = await person.lr("list")
    assert run.code == 1
    assert "lr platform up" in run.err


async def test_a_link_to_what_is_gone_says_how_to_link_again(person: Person) -> None:
    await linked(person)
    person.gateway.world.services.clear()
    run = await person.lr("up")
    assert run.code == 1
    assert "lr link" in run.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
async def test_shells_complete_commands(person: Person, shell: str) -> None:
    assert "rollback" in (await person.ok("completion", shell)).out


async def test_ctrl_c_ends_a_followed_log(person: Person) -> None:
    await linked(person)
    process = await person.start("logs", "-f")
    await eventually(lambda: "StreamLogs" in [name for name, _ in person.gateway.world.calls], within=30)
    process.send_signal(signal.SIGINT)
    _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")

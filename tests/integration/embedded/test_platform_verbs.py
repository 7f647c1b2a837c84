"""The `platform` verbs as a person types them, where no service is needed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.embedded import ports, processes, record
from libs.embedded.home import Home
from libs.testing.eventually import eventually
from tests.integration.embedded.supervised import ROOT, Supervised

Make = Callable[..., Supervised]


def lr(home: Path, *arguments: str, port: int | None = None) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTRAIL_")}
    environ = {**own, "LIGHTRAIL_HOME": str(home), "LIGHTRAIL_PORT": str(port or ports.free_port())}
    argv = [sys.executable, "-m", "libs.cli.main", "platform", *arguments]
    return subprocess.run(argv, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_status_of_nothing_is_stopped_and_makes_nothing(folder: Path) -> None:
    done = lr(folder / "home", "status", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["phase"] == "stopped"
    assert not (folder / "home").exists()


def test_down_is_harmless_when_nothing_runs(folder: Path) -> None:
    done = lr(folder / "home", "down")
    assert (done.returncode, done.stdout) == (0, "It is not running.\n")
    assert json.loads(lr(folder / "home", "down", "--json").stdout)["stopped"] is False


def test_reset_deletes_only_what_is_a_platform_and_only_when_told(folder: Path) -> None:
    (folder / "photos").mkdir()
    refused = lr(folder / "photos", "reset", "--yes")
    assert refused.returncode == 1
    assert "does not look like a platform's directory" in refused.stderr
    assert (folder / "photos").exists()
    unasked = lr(folder / "photos", "reset")
    assert (unasked.returncode, unasked.stderr) == (
        1,
        "Nothing was deleted. Add --yes to delete without being asked.\n",
    )


def test_reset_undoes_what_a_killed_builder_of_images_left_mounted(folder: Path) -> None:
    home = folder / "home"
    store = home / "build" / "buildah" / "root" / "overlay"
    for place in (home / "state", home / "keys", store):
        place.mkdir(parents=True)
    done = subprocess.run(["mount", "--bind", store, store], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    ran = lr(home, "reset", "--yes")
    assert ran.returncode == 0, ran.stderr
    assert not home.exists()


def test_up_on_a_busy_port_is_one_sentence_and_leaves_nothing_running(folder: Path) -> None:
    with socket.create_server((ports.LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        done = lr(folder / "home", "up", "--detach", port=port)
    assert done.returncode == 1
    assert done.stderr == f"Port {port} is in use by another program. Set LIGHTRAIL_PORT to a free one.\n"
    assert not json.loads(lr(folder / "home", "status", "--json").stdout)["parts"]


@pytest.mark.parametrize(
    ("port", "arguments", "sentence"),
    [
        (9002, [], "runs on port 9001, not on 9002. Use it with LIGHTRAIL_PORT=9001"),
        (9001, ["--topology", "all"], "runs in topology split, not in all."),
    ],
    ids=["port", "topology"],
)
def test_up_of_a_platform_that_runs_otherwise_says_how_it_runs(
    folder: Path, port: int, arguments: list[str], sentence: str
) -> None:
    home = Home(folder / "home")
    home.prepare()
    # This process stands for its supervisor.
    alive = processes.find(os.getpid())
    assert alive
    record.save(home, record.Record("ready", "split", "http://localhost:9001", alive.pid, alive.start))
    done = lr(home.path, "up", "--detach", *arguments, port=port)
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "lr platform down" in done.stderr


def test_lines_of_a_log_that_services_share_are_not_said_to_be_of_one(folder: Path) -> None:
    home = Home(folder / "home")
    home.prepare()
    home.log("services").write_text("said by auth\n")
    done = lr(home.path, "logs", "deploy", "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == [{"part": "services", "line": "said by auth"}]


def test_up_in_a_home_that_cannot_be_is_one_sentence(folder: Path) -> None:
    (folder / "home").write_text("")
    done = lr(folder / "home", "up", "--detach", "--json")
    assert done.returncode == 1
    assert "cannot write to its directory" in json.loads(done.stdout)["error"]["message"]


@pytest.mark.parametrize(("variable", "value"), [("LIGHTRAIL_PORT", "http"), ("LIGHTRAIL_TOPOLOGY", "mesh")])
def test_a_wrong_setting_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    own = {name: text for name, text in os.environ.items() if not name.startswith("LIGHTRAIL_")}
    argv = [sys.executable, "-m", "libs.cli.main", "platform", "up", "--detach"]
    environ = {**own, "LIGHTRAIL_HOME": str(folder / "home"), variable: value}
    done = subprocess.run(argv, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert variable in done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_that_is_too_old_is_one_sentence(folder: Path) -> None:
    old = folder / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n')
    old.chmod(0o755)
    environ = {**os.environ, "PYTHON": str(old)}
    argv = [str(ROOT / ".ci" / "bootstrap")]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Lightrail needs Python 3.11 or newer; found: Python 3.9.2.")


@pytest.mark.wheels
async def test_verbs_of_a_running_platform(platform: Supervised) -> None:
    await platform.start()
    again = lr(platform.path, "up", "--detach", port=platform.port)
    assert again.returncode == 0
    assert "It is already running" in again.stdout
    shown = lr(platform.path, "status")
    assert shown.returncode == 0
    for name in ("supervisor", "postgres", "nats", "envoy", "gateway"):
        assert f"\n{name} " in shown.stdout
    logs = lr(platform.path, "logs", "deploy")
    assert logs.stdout == "all serves\n", "services that share a process share its log"
    line = json.loads(lr(platform.path, "logs", "deploy", "--json").stdout)
    assert line == {"part": "services", "line": "all serves"}, "nobody knows which of them it was"
    unknown = lr(platform.path, "logs", "kitchen")
    assert unknown.returncode == 1
    assert "There are: envoy, nats" in unknown.stderr
    down = lr(platform.path, "down", "--json", port=platform.port)
    assert json.loads(down.stdout)["stopped"] is True
    assert await platform.ends() == 0


@pytest.mark.wheels
async def test_down_and_reset_take_care_of_what_a_killed_supervisor_left(platform: Supervised) -> None:
    await platform.start()
    left, application = platform.found("envoy"), platform.application()
    assert application
    await platform.kill()
    assert lr(platform.path, "reset", "--yes").returncode == 0

    def is_gone() -> None:
        assert not left.alive
        assert not platform.home.state.exists()

    await eventually(is_gone)
    os.kill(application.pid, signal.SIGKILL)


async def interrupted(platform: Supervised, *arguments: str) -> tuple[int, str, str]:
    """Types Ctrl-C while `lr platform up` waits for a platform that begins to start."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTRAIL_")}
    environ = {**own, "LIGHTRAIL_HOME": str(platform.path), "LIGHTRAIL_PORT": str(platform.port)}
    argv = [sys.executable, "-m", "libs.cli.main", "platform", "up", *arguments]
    pipe = asyncio.subprocess.PIPE
    typed = await asyncio.create_subprocess_exec(*argv, env=environ, cwd=ROOT, stdout=pipe, stderr=pipe)

    def starts() -> None:
        now = record.load(platform.home)
        assert now, "no supervisor yet"
        assert any(part.pid for part in now.parts)

    try:
        await eventually(starts, within=30)
        typed.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            out, err = await typed.communicate()
    finally:
        if typed.returncode is None:
            typed.kill()
    return typed.returncode or 0, out.decode(), err.decode()


@pytest.mark.wheels
async def test_ctrl_c_while_it_starts_stops_what_was_started(platform: Supervised) -> None:
    code, out, err = await interrupted(platform, "--json")
    assert (code, out) == (130, "")
    assert err.endswith("Stopped.\n")
    last = record.load(platform.home)
    assert last
    assert last.phase == "stopped"
    assert not last.supervisor.alive
    assert [part.name for part in last.parts if part.pid] == []


@pytest.mark.wheels
async def test_ctrl_c_leaves_a_platform_in_the_background_to_start_by_itself(platform: Supervised) -> None:
    code, _, err = await interrupted(platform, "--detach")
    assert code == 130
    assert "goes on by itself" in err
    now = record.running(platform.home)
    assert now
    assert now.phase in {"starting", "ready"}
    assert lr(platform.path, "down").returncode == 0
    assert not now.supervisor.alive

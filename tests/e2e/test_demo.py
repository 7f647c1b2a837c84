"""`make demo`, as somebody runs it who has just copied the project; and what it says when it cannot."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest

from tests.e2e.platform import ROOT, Platform

SECONDS = 180
OLD_PYTHON = """#!/bin/sh
case "$1" in
--version) echo "Python 3.9.2" ;;
*) exit 1 ;;
esac
"""
# New enough, but it comes without the module that makes environments, as Debian's does.
PYTHON_WITHOUT_VENV = """#!/bin/sh
case "$1" in
--version) echo "Python 3.12.1" ;;
-m) exit 1 ;;
esac
"""


@pytest.fixture
def home() -> Iterator[Platform]:
    """A home, a port and a login of its own; nothing runs in it yet."""
    made = Platform("all")
    yield made
    made.stop()


def as_typed(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what a `make` that runs these tests tells the `make` below it."""
    return {name: value for name, value in environ.items() if name not in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS")}


def make_demo(home: Platform) -> subprocess.CompletedProcess[str]:
    # The environment that runs this test is the one the demo needs: it is not made anew.
    return subprocess.run(
        ["make", "--old-file=.venv/stamp", "demo"],
        cwd=ROOT, env=as_typed(home.environ), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def steps(said: str) -> dict[str, float]:
    """Each step with the seconds it took."""
    return {name: float(seconds) for name, seconds in re.findall(r"✓ (\w+) after ([\d.]+) s", said)}


def commands(said: str) -> list[str]:
    return re.findall(r"^  (?:\S+=\S+ )*(\.venv/bin/lr .+)$", said.partition("Try next:")[2], re.MULTILINE)


def status_of(said: str, home: Platform) -> int:
    """What the edge answers at the URL that was printed."""
    found = re.search(r"the app +http://(\S+)", said)
    assert found, said
    return httpx2.get(home.url, headers={"Host": found[1]}, timeout=20).status_code


def test_the_demo_deploys_an_app_and_a_second_one_is_harmless(home: Platform) -> None:
    first = make_demo(home)
    assert first.returncode == 0, first.stdout + first.stderr
    assert steps(first.stdout).keys() == {"platform", "account", "guestbook"}
    assert all(seconds > 0 for seconds in steps(first.stdout).values())
    assert re.search(r"Everything is there, after [\d.]+ s", first.stdout)
    assert status_of(first.stdout, home) == 200
    assert len(commands(first.stdout)) == 3
    for command in commands(first.stdout):
        done = subprocess.run(
            [ROOT / word if word.startswith(".venv") else word for word in command.split()],
            cwd=ROOT, env=home.environ, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    second = make_demo(home)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "running already" in second.stdout
    assert "live already" in second.stdout
    assert "password" not in second.stdout
    assert status_of(second.stdout, home) == 200


def test_a_busy_port_is_one_sentence(home: Platform) -> None:
    with socket.create_server(("127.0.0.1", home.port)):
        done = make_demo(home)
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("make:")]
    assert len(said) == 1, done.stderr
    assert f"Port {home.port} is in use" in said[0]
    assert "LIGHTRAIL_PORT" in said[0]


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        (OLD_PYTHON, "Lightrail needs Python 3.11 or newer; found: Python 3.9.2."),
        ("", "Lightrail needs Python 3.11 or newer; found: none."),
        (PYTHON_WITHOUT_VENV, "cannot make a virtual environment. On Debian: apt-get install python3-venv"),
    ],
    ids=["too old", "none", "without venv"],
)
def test_a_python_that_will_not_do_is_one_sentence(tmp_path: Path, python: str, sentence: str) -> None:
    for name in ("Makefile", "requirements.lock", "pyproject.toml", ".ci/bootstrap"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    fake = tmp_path / "fake"
    if python:
        fake.write_text(python)
        fake.chmod(0o755)
    done = subprocess.run(
        ["make", "demo", f"PYTHON={fake}"],
        cwd=tmp_path, env=as_typed(os.environ), capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("make:")]
    assert len(said) == 1, done.stderr
    assert sentence in said[0]

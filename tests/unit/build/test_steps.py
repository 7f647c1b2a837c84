from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from libs.kernel.units import GIB
from libs.plans.faults import BuildFault
from libs.plans.plan import Step
from libs.sandbox.spec import Exit, Limits, Spec
from libs.testing.clock import VirtualClock
from services.build.adapters.steps import Commands, Room, environment_of, show_command
from services.build.adapters.workdir import WorkDirs, hashes, inside, marks, mount_point, read_tree, write_files
from services.build.app.ports import Job, Variables
from services.build.domain.model import Build, BuildState

BUILD = Build("bld_1", "wsp_1", "p", "s", "e", "d", "n", BuildState.RUNNING, VirtualClock().now())


@dataclass
class Ending:
    """A sandbox whose programs end as told."""

    ends: list[Exit]
    said: bytes = b""
    specs: list[Spec] = field(default_factory=list)

    async def run(self, spec: Spec, *, output: object, timeout: float) -> Exit:  # noqa: ASYNC109 - the port's name
        self.specs.append(spec)
        if self.said:
            await output("stderr", self.said)  # type: ignore[operator]
        return self.ends.pop(0)


class Quiet:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def say(self, step: str, text: str) -> None:
        self.lines.append(text)

    async def chunk(self, step: str, stream: str, data: bytes) -> None:
        self.lines += data.decode().splitlines()

    async def flush(self, step: str) -> None:
        """Nothing is open."""

    def recent(self, step: str) -> list[str]:
        return self.lines[-5:]


async def outcome(end: Exit, said: bytes = b"") -> str:
    commands = Commands(Ending([end], said), Limits(memory_bytes=2 * GIB), deadline=1200)
    step = Step("install", (("uv", "pip", "install", "a b"),))
    with pytest.raises(BuildFault) as fault:
        await commands.run(Job(BUILD, "sha256:1", Variables()), step, Room("/py", (), {}), Quiet())
    return str(fault.value)


async def test_memory_is_named_when_it_ran_out() -> None:
    assert "ran out of memory (limit 2 GiB)" in await outcome(Exit(code=137, signal=9, oom=True))
    assert "ran out of memory" in await outcome(Exit(code=0, oom=True))
    assert (await outcome(Exit(code=1), b"MemoryError\n")).endswith("MemoryError (memory limit 2 GiB)")


async def test_how_it_ended_is_said_with_the_command_and_the_telling_line() -> None:
    said = await outcome(Exit(code=1), b"one\nerror: no\nbye\n")
    assert said == "The step install failed: “uv pip install 'a b'” ended with exit code 1: error: no"
    assert "signal 11" in await outcome(Exit(code=139, signal=11))
    assert "1200 seconds" in await outcome(Exit(code=None, signal=9, timed_out=True))
    assert "said nothing" not in await outcome(Exit(code=2))


async def test_commands_run_in_order_as_the_workspaces_own_user() -> None:
    sandbox = Ending([Exit(code=0), Exit(code=0)])
    step = Step("build", (("{runtime}", "-V"), ("sh", "-c", "true")))
    await Commands(sandbox, Limits(), 9).run(Job(BUILD, "", Variables()), step, Room("/py", (), {"A": "1"}), Quiet())
    assert [spec.argv for spec in sandbox.specs] == [["/py", "-V"], ["sh", "-c", "true"]]
    assert {spec.owner for spec in sandbox.specs} == {"build:wsp_1"}


@pytest.mark.parametrize("network", [True, False])
async def test_a_step_has_a_network_when_its_plan_says_so(*, network: bool) -> None:
    sandbox = Ending([Exit(code=0)])
    step = Step("build", (("true",),), network=network)
    await Commands(sandbox, Limits(), 9).run(Job(BUILD, "", Variables()), step, Room("/py", (), {}), Quiet())
    assert [spec.network for spec in sandbox.specs] == [network]
    assert not Step("test", ()).network


@pytest.mark.parametrize(
    ("user", "step", "expected"),
    [
        ({"A": "user"}, {}, {"A": "user", "PATH": "/bin", "NODE_ENV": "production"}),
        ({"PATH": "/evil", "HOME": "/evil"}, {}, {"A": "ours", "PATH": "/bin", "NODE_ENV": "production"}),
        ({"NODE_ENV": "development"}, {"NODE_ENV": ""}, {"A": "ours", "PATH": "/bin"}),
        ({"EMPTY": ""}, {}, {"A": "ours", "PATH": "/bin", "NODE_ENV": "production", "EMPTY": ""}),
    ],
)
def test_the_users_variables_win_save_what_building_rests_on(
    user: Mapping[str, str], step: Mapping[str, str], expected: Mapping[str, str]
) -> None:
    assert environment_of({"A": "ours", "PATH": "/bin", "NODE_ENV": "production"}, user, step) == expected


def test_commands_are_shown_as_people_write_them() -> None:
    assert show_command(("sh", "-c", "a && b")) == "a && b"
    assert show_command(("npm", "run", "x y")) == "npm run 'x y'"


def test_links_out_of_the_source_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    app = tmp_path / "app"
    (app / "deep").mkdir(parents=True)
    (app / "requirements.txt").symlink_to(tmp_path / "secret")
    (app / "folder").symlink_to(tmp_path)
    (app / "deep" / "ok.txt").write_text("ok")
    (app / "fine").symlink_to("deep/ok.txt")
    for path in ("requirements.txt", "folder/secret", "../secret"):
        with pytest.raises(BuildFault):
            inside(app, path)
        with pytest.raises(BuildFault):
            hashes(app, (path,))
    assert read_tree(app).read("fine") == "ok"
    with pytest.raises(BuildFault):
        write_files(app, {"folder/new": "x"})


def test_a_mount_point_is_empty_whatever_was_uploaded_there(tmp_path: Path) -> None:
    (tmp_path / "keep").mkdir()
    (tmp_path / "keep" / "file").write_text("x")
    app = tmp_path / "app"
    app.mkdir()
    (app / ".venv").symlink_to(tmp_path / "keep")
    mount_point(app, "/app/.venv")
    assert (app / ".venv").is_dir()
    assert not (app / ".venv").is_symlink()
    assert (tmp_path / "keep" / "file").exists()


def test_marks_change_with_content_and_not_with_scribbles(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = marks(tmp_path)
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "x").write_text("x")
    assert marks(tmp_path) == before
    (tmp_path / "a").write_text("22")
    assert marks(tmp_path) != before


def test_directories_that_nobody_may_enter_are_removed(tmp_path: Path) -> None:
    work = WorkDirs(tmp_path / "work")
    folder = work.fresh("bld_1")
    (folder / "locked" / "deep").mkdir(parents=True)
    (folder / "locked").chmod(0)
    work.fresh("bld_2")
    work.sweep({"bld_2"})
    assert [entry.name for entry in (tmp_path / "work").iterdir()] == ["bld_2"]

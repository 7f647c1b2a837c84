from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from libs.kernel.errors import Invalid, Unavailable
from libs.sandbox import bwrap, owners
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Mount, Spec
from tests.unit.sandbox.rig import PATH, Heard, run, sh


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"mounts": [Mount(Path("/nowhere"), "/app")]}, "does not exist"),
        ({"mounts": [Mount(Path("/usr"), "/app/../etc")]}, "plain absolute path"),
        ({"mounts": [Mount(Path("/usr"), "app")]}, "plain absolute path"),
        ({"mounts": [Mount(Path("/usr"), "/proc")]}, "not for mounts"),
        ({"mounts": [Mount(Path("/usr"), "/proc/x")]}, "not for mounts"),
        ({"mounts": [Mount(Path("/usr"), "/etc/passwd")]}, "not for mounts"),
        ({"mounts": [Mount(Path("/"), "/host")]}, "platform's own files"),
        ({"env": {"A": "x\0y"}}, "NUL"),
        ({"env": {"A=B": "x"}}, "no name"),
        ({"env": {"A": "x" * 200_000}}, "128 KiB"),
        ({"env": {f"A{i}": "x" * 60_000 for i in range(40)}}, "1.5 MiB"),
        ({"hosts": {"a b": "1"}}, "host name"),
        ({"owner": ""}, "owner"),
        ({"argv": ()}, "no command"),
    ],
)
async def test_impossible_spec_is_refused_with_a_sentence(tmp_path: Path, wrong: dict[str, Any], says: str) -> None:
    sandbox = await Sandbox.open(tmp_path / "home")
    given: dict[str, Any] = {"argv": ("true",), "env": PATH, "cwd": "/", "mounts": (), "owner": "x"} | wrong
    with pytest.raises(Invalid, match=says):
        await sandbox.run(Spec(**given), output=Heard(), timeout=5)


async def test_largest_environment_that_is_allowed_works(sandbox: Sandbox) -> None:
    env = {**PATH, **{f"A{i}": "x" * 60_000 for i in range(20)}}
    _, heard = await run(sandbox, sh("echo ${#A19}", env=env))
    assert heard.out == b"60000\n"


async def test_machine_without_a_working_bubblewrap_says_what_each_said(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: Creating new namespace failed' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(Unavailable, match="Creating new namespace failed"):
        await bwrap.find([str(tmp_path / "missing"), str(broken)])
    with pytest.raises(Unavailable, match="no bubblewrap is installed"):
        await bwrap.find([])


async def test_next_bubblewrap_is_taken_when_the_first_does_not_work(tmp_path: Path) -> None:
    found = await bwrap.find([str(tmp_path / "missing"), *bwrap.candidates()])
    assert found.path in bwrap.candidates()


def test_owners_whose_numbers_collide_get_the_next_free_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "_RANGES", ((200_000, 3),))
    register = owners.Owners(tmp_path / "owners.json")
    uids = {register.uid(name) for name in ("a", "b", "c")}
    assert uids == {200_000, 200_001, 200_002}
    assert owners.Owners(tmp_path / "owners.json").uid("b") == register.uid("b")
    with pytest.raises(Unavailable, match="taken"):
        register.uid("d")

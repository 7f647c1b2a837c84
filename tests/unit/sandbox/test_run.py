from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from libs.kernel.errors import Unavailable
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Exit
from libs.testing.eventually import eventually
from tests.unit.sandbox.rig import NAP, PATH, naps, run, sh, spec

KILLS_ITSELF = f"""
import asyncio, os, sys
from pathlib import Path
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Spec

async def output(stream, chunk):
    if b"settled" in chunk:
        os.kill(os.getpid(), 9)

async def main():
    sandbox = await Sandbox.open(Path(sys.argv[1]))
    argv = ["/bin/sh", "-c", "trap '' TERM; sleep {NAP} & sleep 0.3; echo settled; sleep {NAP}"]
    spec = Spec(argv=argv, env={{"PATH": "/usr/bin:/bin"}}, cwd="/", mounts=[], owner="x")
    await sandbox.run(spec, output=output, timeout=60)

asyncio.run(main())
"""


async def test_output_and_code_come_through(sandbox: Sandbox) -> None:
    ended, heard = await run(sandbox, sh("echo out; echo err >&2; exit 7"))
    assert (ended, heard.out, heard.err) == (Exit(7), b"out\n", b"err\n")


async def test_large_output_comes_whole(sandbox: Sandbox) -> None:
    ended, heard = await run(sandbox, sh("head -c 5000000 /dev/zero; head -c 3000000 /dev/zero >&2"))
    assert (ended.code, len(heard.out), len(heard.err)) == (0, 5_000_000, 3_000_000)


async def test_environment_is_exactly_what_was_given(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_SECRET", "leak")
    odd = {
        "QUOTED": 'it\'s "a" $HOME `id` \\ \n line',
        "BYTES": os.fsdecode(b"\xff\xfe"),
        "odd.name-1": "kept",
        "UID": "4711",
        "EMPTY": "",
    }
    _, heard = await run(sandbox, spec("/usr/bin/env", "-0", env={**PATH, **odd}))
    found = dict(line.split("=", 1) for line in os.fsdecode(heard.out).split("\0") if line)
    assert found.pop("PWD") == "/"
    assert found == {**PATH, **odd}


async def test_missing_command_is_127_and_missing_directory_126(sandbox: Sandbox) -> None:
    assert (await run(sandbox, spec("no-such-program")))[0] == Exit(127)
    assert (await run(sandbox, sh("exit 0", cwd="/nowhere")))[0] == Exit(126)


async def test_death_by_signal_is_told(sandbox: Sandbox) -> None:
    assert (await run(sandbox, sh("kill -SEGV $$")))[0] == Exit(139, signal=signal.SIGSEGV)


async def test_timeout_kills_the_whole_tree_that_ignores_sigterm(sandbox: Sandbox) -> None:
    began = asyncio.get_running_loop().time()
    script = f"trap '' TERM INT HUP; (setsid sleep {NAP} & sleep {NAP}) & echo up; sleep {NAP}"
    ended, heard = await run(sandbox, sh(script), seconds=0.4)
    assert (ended.timed_out, ended.code, heard.out) == (True, None, b"up\n")
    assert asyncio.get_running_loop().time() - began < 2.4
    assert naps() == 0


async def test_cancellation_kills_the_whole_tree(sandbox: Sandbox) -> None:
    up = asyncio.Event()

    async def hear(_stream: str, _chunk: bytes) -> None:
        up.set()

    async with asyncio.TaskGroup() as group:
        wanted = sh(f"trap '' TERM; sleep {NAP} & echo up; wait")
        task = group.create_task(sandbox.run(wanted, output=hear, timeout=60))
        await up.wait()
        task.cancel()
    assert naps() == 0


async def test_error_of_the_listener_kills_the_tree_and_comes_out_as_it_is(sandbox: Sandbox) -> None:
    async def hear(_stream: str, _chunk: bytes) -> None:
        raise Unavailable("the log is full")

    with pytest.raises(Unavailable, match="the log is full"):
        await sandbox.run(sh(f"echo up; sleep {NAP}"), output=hear, timeout=60)
    assert naps() == 0


async def test_run_leaves_no_daemon_behind(sandbox: Sandbox) -> None:
    ended, _ = await run(sandbox, sh(f"setsid sleep {NAP} >/dev/null 2>&1 & exit 0"))
    assert ended.code == 0
    await eventually(lambda: naps() == 0)


async def test_run_dies_with_the_process_that_called_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLS_ITSELF, str(tmp_path / "home")),
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])},
    )
    assert await process.wait() == -signal.SIGKILL
    await eventually(lambda: naps() == 0)
    # The next opening clears the group that the dead process left.
    again = await Sandbox.open(tmp_path / "home")
    if again._groups is not None:
        assert not [key for key in sorted(again._groups.keys()) if key.startswith("run-")]


async def test_standard_output_can_be_opened_again(sandbox: Sandbox) -> None:
    ended, heard = await run(sandbox, sh("echo a > /dev/stdout; echo b > /dev/stderr; echo c"))
    assert (ended.code, heard.out, heard.err) == (0, b"a\nc\n", b"b\n")


async def test_many_runs_at_once(sandbox: Sandbox) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run(sandbox, sh(f"echo {number}; exit {number}"))) for number in range(12)]
    for number, task in enumerate(tasks):
        ended, heard = task.result()
        assert (ended.code, heard.out) == (number, f"{number}\n".encode())

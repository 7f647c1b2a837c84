from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from libs.kernel.errors import Unavailable
from libs.sandbox import detached
from libs.sandbox.sandbox import Sandbox
from libs.sandbox.spec import Exit, Mount, Process
from libs.testing.eventually import eventually
from tests.unit.sandbox.rig import NAP, gone, naps, run, sh, start

BYE = "import os, signal, time; signal.signal(15, lambda *_: (os.write(1, b'bye\\n'), os._exit(5)))"


async def test_detached_program_ends_with_its_code_and_all_its_output(sandbox: Sandbox, tmp_path: Path) -> None:
    process = await start(sandbox, sh("for i in $(seq 2000); do echo line $i; done; exit 9"), tmp_path / "d")
    assert await gone(sandbox, process) == Exit(9)
    lines = (tmp_path / "d" / "one.out").read_text().splitlines()
    assert lines == [f"line {i}" for i in range(1, 2001)]
    await sandbox.release("one")


async def test_program_that_ignores_sigterm_is_killed_with_its_children(sandbox: Sandbox, tmp_path: Path) -> None:
    script = f"trap '' TERM; setsid sleep {NAP} & sleep {NAP} & echo up; while :; do sleep 1; done"
    process = await start(sandbox, sh(script), tmp_path / "d")
    await eventually(lambda: (tmp_path / "d" / "one.out").read_bytes() == b"up\n")
    await sandbox.signal(process, signal.SIGTERM)
    assert not await sandbox.wait(process, 0.2)
    async with asyncio.timeout(2):
        await sandbox.kill(process)
    assert await sandbox.exited(process) == Exit(137, signal=signal.SIGKILL)
    assert naps() == 0
    await sandbox.signal(process, signal.SIGTERM)
    await sandbox.kill(process)
    await sandbox.release("one")


async def test_signal_reaches_the_program_behind_a_shell(sandbox: Sandbox, tmp_path: Path) -> None:
    inner = f"{BYE}; os.write(1, b'up\\n'); time.sleep(100)"
    process = await start(sandbox, sh(f'true && python3 -c "{inner}"; exit $?'), tmp_path / "d")
    await eventually(lambda: (tmp_path / "d" / "one.out").read_bytes() == b"up\n")
    await sandbox.signal(process, signal.SIGTERM)
    await gone(sandbox, process)
    assert (tmp_path / "d" / "one.out").read_bytes().startswith(b"up\nbye\n")
    await sandbox.release("one")


async def test_failed_making_of_a_sandbox_says_why_and_can_be_tried_again(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    bad = sh("echo up", mounts=[Mount(file, "/usr/bin/env/below")])
    for _ in range(2):
        with pytest.raises(Unavailable, match="could not be made: bwrap: "):
            await start(sandbox, bad, tmp_path / "d")
    with pytest.raises(Unavailable, match="could not be made: bwrap: "):
        await run(sandbox, bad)
    process = await start(sandbox, sh("exit 4"), tmp_path / "d")
    assert (await gone(sandbox, process)).code == 4
    await sandbox.release("one")


async def test_standard_output_can_be_opened_again_and_is_never_cut(sandbox: Sandbox, tmp_path: Path) -> None:
    process = await start(sandbox, sh("echo a; echo b > /dev/stdout; echo c > /dev/stderr; echo d"), tmp_path / "d")
    await gone(sandbox, process)
    assert (tmp_path / "d" / "one.out").read_bytes() == b"a\nb\nc\nd\n"
    await sandbox.release("one")


async def test_number_that_was_used_again_is_never_signalled(sandbox: Sandbox, tmp_path: Path) -> None:
    process = await start(sandbox, sh("exit 0"), tmp_path / "d")
    await gone(sandbox, process)
    other = await start(sandbox, sh("exec sleep 100"), tmp_path / "d", "two")
    # The first one's files now claim the second one's number, as after a restart of the machine.
    text = process.status.read_text().replace(f'"child-pid": {process.pid}', f'"child-pid": {other.pid}')
    process.status.write_text(text)
    stale = detached.process(process.status, "one")
    assert stale == Process(other.pid, 0, "one", process.status)
    await sandbox.signal(stale, signal.SIGKILL)
    sandbox.strike(stale)
    await sandbox.kill(stale)
    assert await sandbox.alive(other)
    await sandbox.kill(other)
    for name in ("one", "two"):
        await sandbox.release(name)


async def test_program_whose_watcher_was_killed_ends_with_an_unknown_code(sandbox: Sandbox, tmp_path: Path) -> None:
    process = await start(sandbox, sh("sleep 0.3"), tmp_path / "d")
    watcher = _parent(process.pid)
    os.kill(watcher, signal.SIGKILL)
    assert await sandbox.alive(process)
    assert await gone(sandbox, process) == Exit(None)
    await sandbox.release("one")


@pytest.mark.parametrize("text", [b"", b'{ "child-p', b'{"child-pid": 7}\n{"exit', b"[]\n\xff\n"])
def test_status_cut_short_by_a_crash_counts_as_not_written(text: bytes) -> None:
    assert detached.parse(text).code is None


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_descriptors_do_not_leak(sandbox: Sandbox, tmp_path: Path) -> None:
    await run(sandbox, sh("exit 0"))
    before = _open_files()
    for number in range(3):
        await run(sandbox, sh("exit 0"))
        await gone(sandbox, await start(sandbox, sh("exit 0"), tmp_path / "d", f"n{number}"))
        await sandbox.release(f"n{number}")

    def settled() -> None:
        sandbox.poll()
        assert _open_files() <= before

    await eventually(settled)

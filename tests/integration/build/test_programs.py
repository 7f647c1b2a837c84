"""Programs of engines, on the event loop of tests and on that of the platform's services."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from libs.kernel.errors import Unavailable
from libs.testing.eventually import eventually
from services.build.adapters.images.programs import ask, follow, launch

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
Run = Callable[[Awaitable[None]], None]
HERE = {"PATH": os.defpath}


@LOOPS
def test_all_of_both_streams_is_heard_and_the_exit_code_is_told(run: Run) -> None:
    heard: list[str] = []

    async def hear(line: str) -> None:
        heard.append(line)

    async def tell() -> None:
        assert await follow(["/bin/sh", "-c", "seq 1 200000; echo last >&2; exit 3"], HERE, hear) == 3
        said = await ask(["/bin/sh", "-c", "echo out; echo err >&2; exit 4"], HERE)
        assert (said.code, said.out, said.err) == (4, "out\n", "err\n")
        with pytest.raises(Unavailable, match="/nowhere is not there"):
            await follow(["/nowhere"], HERE, hear)

    run(tell())
    assert heard == [*(str(number) for number in range(1, 200_001)), "last"]


@LOOPS
def test_a_program_that_nobody_waits_for_any_more_ends_with_its_children(run: Run, tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    async def hear(_line: str) -> None:
        """Nothing is said."""

    def gone() -> bool:
        return not any(Path(f"/proc/{pid}/exe").exists() for pid in pids.read_text(encoding="ascii").split())

    async def leave() -> None:
        command = f"sleep 60 & echo $$ $! > {pids}.part; mv {pids}.part {pids}; wait"
        following = asyncio.ensure_future(follow(["/bin/sh", "-c", command], HERE, hear))
        await eventually(pids.exists)
        following.cancel()
        await eventually(gone)

    run(leave())


@LOOPS
def test_a_program_that_goes_on_says_everything_in_its_log(run: Run, tmp_path: Path) -> None:
    async def begin() -> None:
        process = await launch(["/bin/sh", "-c", "echo here; exec sleep 60"], HERE, tmp_path / "log", doors=[])
        await eventually(lambda: (tmp_path / "log").read_text(encoding="ascii") == "here\n")
        process.terminate()
        await process.wait()

    run(begin())

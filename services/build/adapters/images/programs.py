"""Runs an engine's program: its output line by line, its end waited for, its tree killed when nobody waits any more."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from libs.kernel.errors import Unavailable

Hear = Callable[[str], Awaitable[None]]
# Bytes of one line; the rest of a longer one comes as a line of its own.
_LINE: Final = 64 * 1024
# Bytes heard at a time, and bytes that may wait for it: in the pipe, and here. Of a command's last words buildah drops
# what finds the pipe full.
_CHUNK: Final = 16 * 1024
_PIPE: Final = 1024 * 1024
_WAITING: Final = 16 * 1024 * 1024
# Joins the control groups named before "--", then becomes the program after it.
_ENTER: Final = 'while [ "$1" != -- ]; do echo 0 > "$1" || exit 125; shift; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Said:
    """What a short command answered."""

    code: int
    out: str
    err: str


async def ask(argv: Sequence[str], environment: Mapping[str, str], *, seconds: float = 60.0) -> Said:
    """Runs a command to its end. Unavailable when it is missing or takes too long."""
    process = await _spawn(argv, environment, stderr=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(seconds):
            out, err = await process.communicate()
    except TimeoutError:
        raise Unavailable(f"{argv[0]} did not answer within {seconds:.0f} seconds.") from None
    finally:
        await _end(process)
    return Said(process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace"))


async def follow(argv: Sequence[str], environment: Mapping[str, str], hear: Hear, *, doors: Sequence[Path] = ()) -> int:
    """Runs a program in the control groups behind `doors` and gives its exit code; both its streams are heard as one.

    Cancelled or failing, it ends the program with all that shares its session.
    """
    inside = ["/bin/sh", "-c", _ENTER, "sh", *map(str, doors), "--", *argv] if doors else argv
    stream, hearing, mouth = await _pipe()
    try:
        process = await _spawn(inside, environment, out=mouth, stderr=asyncio.subprocess.STDOUT)
    except BaseException:
        hearing.close()
        raise
    finally:
        os.close(mouth)
    try:
        rest = b""
        while chunk := await stream.read(_CHUNK):
            # What comes meanwhile is taken in at once, however long it takes to be heard.
            await asyncio.sleep(0)
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                await hear(line.decode(errors="replace"))
        if rest:
            await hear(rest.decode(errors="replace"))
        return await process.wait()
    finally:
        hearing.close()
        await _end(process)


async def _pipe() -> tuple[asyncio.StreamReader, asyncio.ReadTransport, int]:
    """A pipe with much room: what comes out of it, what closes it, and the number of its other end."""
    outlet, mouth = os.pipe()
    # As much as this user may still have in pipes.
    with suppress(PermissionError):
        fcntl.fcntl(mouth, fcntl.F_SETPIPE_SZ, _PIPE)
    reader = asyncio.StreamReader(limit=_WAITING)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(outlet, "rb")
    )
    return reader, transport, mouth


async def launch(
    argv: Sequence[str], environment: Mapping[str, str], log: Path, *, doors: Sequence[Path]
) -> asyncio.subprocess.Process:
    """Starts a program that goes on, in the control groups behind `doors`; what it says is in `log`. It ends with us.

    One that is missing, or may not enter a group, ends at once, and the log says why.
    """
    # Told to end when this process is gone, however it went.
    bound = ["setpriv", "--pdeathsig", "TERM", "--"] if shutil.which("setpriv") else []
    with log.open("wb") as out:
        return await asyncio.create_subprocess_exec(
            *["/bin/sh", "-c", _ENTER, "sh", *map(str, doors), "--", *bound, *argv],
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


async def _spawn(
    argv: Sequence[str], environment: Mapping[str, str], *, stderr: int, out: int = asyncio.subprocess.PIPE
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=stderr,
            start_new_session=True,
        )
    except FileNotFoundError:
        raise Unavailable(f"The program {argv[0]} is not there any more.", hint="Install it again.") from None


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills what is left of the program's session, and waits for the program."""
    # Until it is waited for, nobody else gets its number.
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())

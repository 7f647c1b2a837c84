"""Runs one part for the length of an `async with`: for tests and tools, not for the supervisor."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from libs.embedded import files, processes
from libs.embedded.part import Spec
from libs.kernel.errors import Unavailable

Launch = Callable[[Spec], subprocess.Popen[bytes]]
_LOOK_SECONDS = 0.01


@asynccontextmanager
async def running(spec: Spec, launch: Launch) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Starts the part, waits until it is ready, stops it at the end. Unavailable with its log when it does not come."""
    process = launch(spec)
    descriptor = os.pidfd_open(process.pid)
    try:
        async with asyncio.timeout(spec.patience):
            while not await asyncio.to_thread(spec.ready):
                if process.poll() is not None:
                    raise Unavailable(f"{spec.name} ended with code {process.returncode}.\n{files.tail(spec.log)}")
                await asyncio.sleep(_LOOK_SECONDS)
        yield process
    except TimeoutError as error:
        raise Unavailable(f"{spec.name} is not ready after {spec.patience:.0f} s.\n{files.tail(spec.log)}") from error
    finally:
        if process.poll() is None:
            await asyncio.to_thread(processes.end, [(descriptor, spec.stop)])
        process.wait()
        os.close(descriptor)

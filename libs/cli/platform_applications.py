"""Ends the applications of a platform that is about to be deleted."""

from __future__ import annotations

import asyncio
from pathlib import Path

from libs.embedded import applications
from libs.sandbox.sandbox import Sandbox


def end(home: Path) -> list[int]:
    """Kills whatever runs with a status file below `instances/`; returns the first process of each.

    Nor is a control group left. Blocking.
    """
    return asyncio.run(_end(home))


async def _end(home: Path) -> list[int]:
    statuses = applications.started(home)
    if not statuses:
        return []
    sandbox = await Sandbox.open(home)
    ended = []
    for status in statuses:
        process = sandbox.find(status, key=status.parent.name)
        if process and await sandbox.alive(process):
            await sandbox.kill(process)
            ended.append(process.pid)
        await sandbox.release(status.parent.name)
    return ended

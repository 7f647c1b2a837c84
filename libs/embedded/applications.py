"""The processes of the applications that a platform runs, and where they listen."""

from __future__ import annotations

from pathlib import Path

from libs.embedded import exposure
from libs.sandbox import detached, procfs


def running(home: Path) -> dict[str, list[int]]:
    """Returns instance id -> its processes now. Instances that this user may not look into count as having none."""
    found = {}
    for status in started(home):
        first = detached.process(status, status.parent.name)
        if first and detached.is_ours(first):
            found[status.parent.name] = procfs.tree(first.pid)
    return found


def started(home: Path) -> list[Path]:
    """Returns the status file of each instance that ever started. What instances themselves write is not looked at."""
    return [lock.with_suffix("") for lock in sorted((home / "instances").glob("*/status.lock"))]


def open_ports(home: Path) -> list[str]:
    """Returns "address:port (instance id)" for each place where an application is reachable from other machines."""
    return [
        f"{place} (instance {instance})"
        for instance, pids in running(home).items()
        for place in exposure.open_ports(pids)
    ]

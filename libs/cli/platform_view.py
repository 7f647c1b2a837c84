"""How the `platform` verbs show things to a person."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from libs.embedded import files
from libs.embedded.status import Status
from libs.kernel.units import show_bytes

_LOOK_SECONDS = 0.1


def announce(now: Status, *, is_new: bool, seconds: float, setup_url: str | None) -> None:
    """Prints what a person needs right after `up`."""
    out = sys.stdout
    if is_new:
        out.write(f"Ready in {seconds:.2f} s: {now.url}\n")
    else:
        out.write(f"It is already running: {now.url}\n")
    outside = ", ".join(now.reachable_from_outside)
    out.write(f"Reachable from other machines: {outside or 'nothing; every port is on loopback'}\n")
    if setup_url:
        token = setup_url.rpartition("=")[2]
        out.write(
            "\nNobody owns this platform yet. Make the first account, once:\n"
            f"  in a browser   {setup_url}\n"
            f"  or             lr login --setup-token {token}\n"
        )
    out.flush()


def show(now: Status) -> None:
    """Prints the platform and a line for each part."""
    out = sys.stdout
    out.write(f"{now.phase} · {now.url} · topology {now.topology} · {now.home}\n")
    if now.message:
        out.write(f"{now.message}\n")
    if not now.parts:
        return
    rows = [("PART", "STATE", "PID", "PORT", "MEMORY", "UPTIME", "RESTARTS")]
    shared: set[int] = set()
    for part in now.parts:
        counted = part.pid in shared
        shared |= {part.pid} if part.pid else set()
        memory = "shared" if counted else show_bytes(part.memory_bytes) if part.pid else ""
        rows.append(
            (
                part.name,
                part.state,
                str(part.pid or ""),
                str(part.port or ""),
                memory,
                show_seconds(part.uptime_seconds) if part.pid else "",
                str(part.restarts),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        out.write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n")
    for part in now.parts:
        if part.message and part.state != "running":
            out.write(f"{part.name}: {part.message}\n")
    if now.reachable_from_outside:
        out.write(f"Reachable from other machines: {', '.join(now.reachable_from_outside)}\n")
    out.write(f"{show_bytes(now.memory_bytes)} in all\n")


def show_seconds(seconds: float) -> str:
    """Returns a duration as a person reads it: "4 min"."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def lines_of(log: Path, past: int, *, follow: bool) -> Iterator[str]:
    """Yields the last lines of a log, then, when following, every new one; copes with a log that is rotated."""
    size = log.stat().st_size
    yield from files.tail(log, lines=past).splitlines()
    rest = b""
    while follow:
        fresh, size = _since(log, size)
        if not fresh:
            time.sleep(_LOOK_SECONDS)
            continue
        *whole, rest = (rest + fresh).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)


def _since(log: Path, seen: int) -> tuple[bytes, int]:
    """What a log has got since it had `seen` bytes, and how many it has now; what a rotation moved is in `log`.1."""
    now = log.stat().st_size
    missed, start = b"", seen
    if now < seen:
        older, moved = _rotated(log, seen)
        # A log that is shorter than what was left of it has been emptied.
        missed, start = older, moved if moved <= now else 0
    with log.open("rb") as file:
        file.seek(start)
        found = file.read(now - start)
    whole = found.lstrip(b"\0")
    if hole := len(found) - len(whole):
        # Taken away without a change of the length: these are the last bytes that were.
        older, _ = _rotated(log, -hole)
        whole = older + whole
    return missed + whole, now


def _rotated(log: Path, seen: int) -> tuple[bytes, int]:
    """The older log behind its first `seen` bytes (below 0: so many at its end), and how many more were seen."""
    try:
        older = log.with_name(f"{log.name}.1").read_bytes()
    except FileNotFoundError:
        return b"", 0
    return older[seen:], max(0, seen - len(older))

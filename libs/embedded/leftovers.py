"""What a supervisor that crashed left running: recognised by pid and start time, adopted or ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from libs.embedded import processes, record
from libs.embedded.home import Home
from libs.embedded.part import Spec
from libs.embedded.plan import mark
from libs.embedded.processes import Stop
from libs.embedded.record import PartRecord
from libs.embedded.runner import Runner

# A service ends what it does; a server that lost its supervisor ends its sessions.
_STOPS: Final[dict[str, Stop]] = {"postgres": ((signal.SIGINT, 15.0), (signal.SIGQUIT, 5.0))}
_STOP: Final[Stop] = ((signal.SIGTERM, 10.0),)
# Names of the ports that belong to a part besides its own.
_PORTS: Final = {"postgres": ("postgres",), "nats": ("nats",), "envoy": ()}


class Leftovers:
    """The processes of the last record that still run."""

    def __init__(self, home: Home, *, say: Callable[..., None] = lambda *_, **__: None) -> None:
        self._say = say
        self._home = home
        self._last = record.load(home)
        parts = self._last.parts if self._last else ()
        self._alive = {part.name: part for part in parts if part.process and part.process.alive}

    @property
    def names(self) -> list[str]:
        """The parts that still run."""
        return list(self._alive)

    def ports(self) -> dict[str, int]:
        """The ports these parts hold: they are theirs, not somebody's."""
        known = self._last.ports if self._last else {}
        return {name: known[name] for part in self._alive for name in _PORTS.get(part, ()) if name in known}

    def end_services(self) -> None:
        """Ends processes of services, recorded or not; blocking. Applications they started go on."""
        known = [part for part in self._alive.values() if part.name not in _PORTS]
        pids = {part.pid for part in known}
        lost = [process for process in processes.find_running(mark(self._home)) if process.pid not in pids]
        self._end([*known, *(PartRecord("services", "ready", pid=one.pid, start=one.start) for one in lost)])

    def end(self) -> None:
        """Ends everything that is left; blocking."""
        self._end(sorted(self._alive.values(), key=lambda part: list(_PORTS).index(part.name), reverse=True))

    def hand_over(self, runner: Runner, now: float) -> None:
        """Lets a runner adopt the process of its part, if it runs the same thing and answers."""
        part = self._alive.get(runner.node.name)
        if not runner.node.adoptable:
            return
        try:
            spec = runner.node.spec()
        except OSError:
            # Its password or configuration is gone: it cannot be what would run now.
            return
        if part is None or part.process is None:
            self._end(strays(runner.node.name, spec))
        elif spec.fingerprint == part.fingerprint and runner.adopt(part.process, spec, now):
            del self._alive[part.name]

    def _end(self, parts: list[PartRecord]) -> None:
        ends: list[tuple[int, Stop]] = []
        for part in parts:
            descriptor = part.process.attach() if part.process else None
            if descriptor is not None:
                self._say("part.left_over", part=part.name, pid=part.pid)
                ends.append((descriptor, _STOPS.get(part.name, _STOP)))
        processes.end(ends)
        for descriptor, _ in ends:
            os.close(descriptor)
        for part in parts:
            self._alive.pop(part.name, None)


def strays(name: str, spec: Spec) -> list[PartRecord]:
    """Processes of this part that no record knows: their supervisor ended between starting and recording them.

    Two servers in one room would ruin it. A part is told by its program and a path in its room; PostgreSQL looks for
    itself, by the lock in its data.
    """
    room = [argument for argument in spec.argv[1:] if argument.startswith("/")]
    if name == "postgres" or not room:
        return []
    found = processes.find_running(room[0], Path(spec.argv[0]).name)
    return [PartRecord(name, "ready", pid=process.pid, start=process.start) for process in found]

"""`python -m libs.embedded.supervisor`: starts the parts of one platform, keeps them running, stops them in order.

It is one small thread that sleeps in poll(2): a process that ends wakes it through its pidfd, whether it started that
process or adopted it from a supervisor that crashed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from itertools import groupby

from libs.embedded import files, ports, processes, record
from libs.embedded.home import Home
from libs.embedded.leftovers import Leftovers
from libs.embedded.plan import RUNTIME, Plan
from libs.embedded.processes import Process
from libs.embedded.record import PartRecord, Phase, Record
from libs.embedded.runner import Runner
from libs.embedded.settings import Settings, read
from libs.kernel.errors import Failure, Unavailable

# How often a starting part is asked whether it is ready.
_LOOK_SECONDS = 0.015
# How often running parts are asked whether they still answer, and logs are measured.
_ROUND_SECONDS = 10.0
# How often it is looked whether somebody must stand in for a part that is away.
_WATCH_SECONDS = 0.1
# Deaths before the platform is ready that mean it will not get there.
_MOST_FAILURES = 3
# From everything being ready to the first answer of the API through the edge.
_REACHABLE_SECONDS = 30.0


class Supervisor:
    """Runs one platform until it is told to stop."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, program: tuple[str, ...] = RUNTIME) -> None:
        self._settings = settings
        self._environ = environ
        self._program = program
        self._home = Home(settings.home)
        self._ports: dict[str, int] = {}
        self._runners: list[Runner] = []
        self._external: list[str] = []
        self._phase: Phase = "starting"
        self._message = ""
        self._seconds: float | None = None
        self._began = time.monotonic()
        self._all_ready_at: float | None = None
        self._next_round = self._began + _ROUND_SECONDS
        self._first = False
        self._me = processes.find(os.getpid()) or Process(os.getpid(), 0)
        self._poll = select.poll()
        self._saved: Record | None = None
        self._asked_to_stop = False

    def run(self) -> int:
        """Returns 0 after an orderly stop, 1 when the platform could not start; why is in the record and the log."""
        self._home.prepare()
        lock = self._home.lock()
        signals = _catch_signals()
        self._poll.register(signals, select.POLLIN)
        try:
            self._say("platform.starting", pid=self._me.pid, topology=self._settings.topology)
            self._take_over()
            self._supervise(signals)
        except (Failure, OSError) as failure:
            self._message = str(failure)
            self._say("platform.failed", why=self._message)
        self._stop()
        os.close(lock)
        return 1 if self._message else 0

    def _take_over(self) -> None:
        """Ends or adopts what a crashed run left, chooses ports and makes the runners."""
        left = Leftovers(self._home, say=self._say)
        left.end_services()
        self._first = not self._home.setup_token.exists()
        self._ports = choose_ports(self._home, self._settings, left.ports())
        plan = self._plan()
        self._external = plan.external()
        self._runners = [Runner(node, self._say) for node in plan.nodes()]
        for runner in self._runners:
            left.hand_over(runner, time.monotonic())
        left.end()
        if any(runner.node.name == "envoy" and not runner.is_up for runner in self._runners):
            ports.require_free(self._settings.port, self._settings.edge_address, "LIGHTRAIL_PORT")
        for runner in self._runners:
            if runner.descriptor is not None:
                self._poll.register(runner.descriptor, select.POLLIN)

    def _plan(self) -> Plan:
        return Plan(self._settings, self._ports, self._environ, program=self._program)

    def _supervise(self, signals: int) -> None:
        """Starts, watches and restarts until a signal asks to stop. Unavailable when the platform cannot start."""
        while not self._asked_to_stop:
            now = time.monotonic()
            self._start_due(now)
            if self._phase == "starting":
                self._judge(now)
            if now >= self._next_round:
                self._round(now)
            self._save()
            for descriptor, _ in self._poll.poll(self._patience()):
                if descriptor == signals:
                    os.read(signals, 64)
                    self._asked_to_stop = True
                else:
                    self._bury(descriptor)

    def _start_due(self, now: float) -> None:
        up = {runner.node.name for runner in self._runners if runner.is_up} | set(self._external)
        for runner in self._runners:
            if runner.due <= now and (
                (runner.state == "waiting" and (runner.restarts or up.issuperset(runner.node.needs)))
                or (self._watches(runner) and self._must_stand_in(runner, now))
            ):
                runner.start(now)
                if runner.descriptor is not None:
                    self._poll.register(runner.descriptor, select.POLLIN)
                    # Written at once: what is not written is not recognised after a crash.
                    self._save()
            elif runner.is_starting:
                runner.look(now)

    def _watches(self, runner: Runner) -> bool:
        """Whether the runner is a standby, at rest, of a part that is away. A platform that starts has no standbys."""
        if runner.state != "resting" or self._phase != "ready":
            return False
        return any(other.node.name == runner.node.stands_in_for and not other.is_up for other in self._runners)

    def _must_stand_in(self, runner: Runner, now: float) -> bool:
        """Whether it is needed: what it serves is up, and serves nobody."""
        up = {other.node.name for other in self._runners if other.is_up}
        needed = up.issuperset(runner.node.needs) and runner.node.wanted()
        if not needed:
            runner.spare(now + _WATCH_SECONDS)
        return needed

    def _judge(self, now: float) -> None:
        """Calls the platform ready when everything is and the API answers through the edge, or gives up."""
        for runner in self._runners:
            if runner.failures >= _MOST_FAILURES:
                raise Unavailable(f"{runner.node.name} does not start. {runner.message}\n{runner.last_words()}".strip())
        if not all(runner.is_up for runner in self._runners):
            self._all_ready_at = None
            return
        self._all_ready_at = self._all_ready_at or now
        if self._plan().is_reachable():
            self._phase, self._seconds = "ready", round(time.monotonic() - self._began, 3)
            self._say("platform.ready", seconds=self._seconds)
        elif now - self._all_ready_at > _REACHABLE_SECONDS:
            edge = f"{self._settings.edge_address}:{self._settings.port}"
            raise Unavailable(
                f"Every part runs, but the API does not answer at {edge}.", hint="See: lr platform logs envoy"
            )

    def _round(self, now: float) -> None:
        self._next_round = now + _ROUND_SECONDS
        for runner in self._runners:
            if not runner.is_starting:
                runner.look(now)
        for log in self._home.logs.glob("*.log"):
            try:
                files.rotate(log)
            except OSError as error:
                # A full disk must not end what runs.
                self._say("log.not_rotated", log=log.name, why=str(error))

    def _bury(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        for runner in self._runners:
            if runner.descriptor == descriptor:
                runner.ended(time.monotonic())
                if runner.state == "waiting":
                    self._move(runner)

    def _move(self, runner: Runner) -> None:
        """Gives a part that died other ports where another program has taken its own; who knows those starts anew."""
        taken = [name for name in runner.node.ports if not ports.is_free(self._ports[name])]
        if not taken:
            return
        try:
            known = {**_known_ports(self._home), **self._ports}
            for name in taken:
                known[name] = ports.free_port({*known.values(), self._settings.port})
            self._ports = {name: known[name] for name in self._ports}
            self._say("ports.moved", part=runner.node.name, ports={name: known[name] for name in taken})
            nodes = {node.name: node for node in self._plan().nodes()}
            others = [other for other in self._runners if other.replace(nodes[other.node.name])]
            why = f"An address of {runner.node.name} has changed."
            processes.end([(other.descriptor, other.leave(why)) for other in others if other.descriptor is not None])
            _remember_ports(self._home, known)
        except (Failure, OSError) as error:
            # No port is free, or the disk is full: no reason to end what runs.
            self._say("ports.not_moved", part=runner.node.name, ports=taken, why=str(error))

    def _patience(self) -> int:
        """Milliseconds until there is something to do."""
        now = time.monotonic()
        if self._phase == "starting" or any(runner.is_starting for runner in self._runners):
            return int(_LOOK_SECONDS * 1000)
        due = [runner.due for runner in self._runners if runner.state == "waiting" or self._watches(runner)]
        return max(0, int((min([*due, self._next_round]) - now) * 1000) + 1)

    def _stop(self) -> None:
        """Ends the parts: services, the edge, the bus, the database. Parts of one number end together."""
        self._phase = "stopping"
        self._save()
        order = sorted(self._runners, key=lambda runner: runner.node.stops)
        for _, group in groupby(order, key=lambda runner: runner.node.stops):
            # What was adopted outlives a start that failed: visitors are still served by it.
            living = [r for r in group if r.descriptor is not None and not (r.adopted and self._message)]
            processes.end([(runner.descriptor, runner.stop) for runner in living if runner.descriptor is not None])
            for runner in living:
                runner.stopped()
            self._save()
        self._phase = "failed" if self._message else "stopped"
        self._save()
        self._say(f"platform.{self._phase}")

    def _save(self) -> None:
        now = Record(
            phase=self._phase,
            topology=self._settings.topology,
            url=self._settings.url,
            pid=self._me.pid,
            start=self._me.start,
            message=self._message,
            seconds=self._seconds,
            ports=self._ports,
            parts=(
                *(PartRecord(name=name, state="external") for name in self._external),
                *(runner.record() for runner in self._runners),
            ),
            first=self._first,
        )
        if now == self._saved:
            return
        try:
            record.save(self._home, now)
        except OSError as error:
            # Nor here; it is written again at the next change.
            self._say("record.not_written", why=str(error))
            return
        self._saved = now

    def _say(self, event: str, **fields: object) -> None:
        line = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": event, **fields}
        with suppress(OSError):  # the log is on the disk that is full: there is nowhere left to say so
            sys.stderr.write(json.dumps(line, ensure_ascii=False) + "\n")
            sys.stderr.flush()


def _catch_signals() -> int:
    """Makes SIGTERM and SIGINT readable from the descriptor returned; a closed terminal is no reason to stop."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return reader


def choose_ports(home: Home, settings: Settings, kept: Mapping[str, int]) -> dict[str, int]:
    """Returns a port for each part: as at the last start where it is free or `kept` by a running part, else another.

    None is the edge's, which is not listened on yet.
    """
    before, names = _known_ports(home), Plan.ports(settings)
    chosen = dict(before)
    for name in names:
        port = before.get(name)
        if port in {None, settings.port} or (kept.get(name) != port and not ports.is_free(port)):
            chosen[name] = ports.free_port({*chosen.values(), settings.port})
    if chosen != before:
        _remember_ports(home, chosen)
    return {name: chosen[name] for name in names}


def _known_ports(home: Home) -> dict[str, int]:
    """The ports of the last start; none when there was none."""
    try:
        found: dict[str, int] = json.loads((home.state / "ports.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found


def _remember_ports(home: Home, chosen: Mapping[str, int]) -> None:
    files.write_private(home.state / "ports.json", json.dumps(chosen, indent=1) + "\n")


def main(environ: Mapping[str, str] | None = None, *, program: tuple[str, ...] = RUNTIME) -> int:
    """Runs the platform that the environment describes; `program` runs its services."""
    found = dict(os.environ if environ is None else environ)
    os.umask(0o022)
    try:
        return Supervisor(read(found), found, program=program).run()
    except Failure as failure:
        sys.stderr.write(f"{failure}\n")
        return 1


if __name__ == "__main__":
    raise SystemExit(main())

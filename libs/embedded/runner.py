"""One part in operation: started, watched, started again with growing pauses, ended."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from libs.embedded import files, processes
from libs.embedded.part import Spec, launch
from libs.embedded.plan import Node
from libs.embedded.processes import Process, Stop
from libs.embedded.record import PartRecord
from libs.kernel.errors import Failure

Say = Callable[..., None]
# The first restart is at once: while Envoy is away, every request fails.
PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
# A part that ran this long, and twice as long as it was kept waiting, had no fault that lasts.
HEALTHY_SECONDS = 10.0
# A part that does not answer for this long, though it runs, is started anew when its node says so.
SILENCE_SECONDS = 60.0


class Runner:
    """Runs one node. Times are monotonic seconds, given by the caller."""

    def __init__(self, node: Node, say: Say) -> None:
        self.node = node
        self.state = "resting" if node.stands_in_for else "waiting"
        self.restarts = 0
        # Deaths since it was last ready.
        self.failures = 0
        # When it may start.
        self.due = 0.0
        self.message = ""
        self.seconds: float | None = None
        self.descriptor: int | None = None
        # Whether its process was started by a former supervisor.
        self.adopted = False
        self._say = say
        self._popen: subprocess.Popen[bytes] | None = None
        self._process: Process | None = None
        self._spec: Spec | None = None
        self._fingerprint = ""
        self._began = 0.0
        self._answered = 0.0
        self._pauses = 0
        # How long it was kept waiting the last time.
        self._rested = 0.0

    @property
    def is_up(self) -> bool:
        """Whether others may count on it: it was ready, or is a task that is done, or a standby without need."""
        return self.state in {"ready", "done", "unresponsive", "resting"}

    @property
    def is_starting(self) -> bool:
        """Whether it runs and is not ready yet."""
        return self.state == "starting"

    @property
    def stop(self) -> Stop:
        """How its process is ended."""
        return self._spec.stop if self._spec else ()

    def adopt(self, process: Process, spec: Spec, now: float) -> bool:
        """Takes over a process that a former supervisor started, if it runs what would run now, and answers."""
        descriptor = process.attach()
        if descriptor is None:
            return False
        if not self.node.adoptable or not spec.ready():
            os.close(descriptor)
            return False
        self._spec, self._process, self.descriptor, self.adopted = spec, process, descriptor, True
        self._fingerprint = spec.fingerprint
        self.state, self.seconds, self._began, self._answered = "ready", 0.0, now, now
        self._say("part.adopted", part=self.node.name, pid=process.pid)
        return True

    def start(self, now: float) -> None:
        """Prepares and launches it; blocking while it prepares. What goes wrong is a death like others."""
        self._began = self._answered = now
        self.message = ""
        if self.node.once and self.node.done():
            self.state, self.seconds = "done", 0.0
            return
        try:
            self.node.prepare()
            self._spec = self.node.spec()
            self._fingerprint = self._spec.fingerprint if self.node.adoptable else ""
            self._popen = launch(self._spec)
        except (Failure, OSError, subprocess.SubprocessError) as error:
            self._died(now, str(error))
            return
        self.descriptor = os.pidfd_open(self._popen.pid)
        self._process = processes.find(self._popen.pid) or Process(self._popen.pid, 0)
        # A standby is never waited for.
        self.state = "ready" if self.node.stands_in_for else "starting"
        self._say("part.started", part=self.node.name, pid=self._popen.pid)

    def replace(self, node: Node) -> bool:
        """Makes `node` what it runs from its next start on; whether its process now runs something else."""
        self.node = node
        running = self._spec if self.descriptor is not None else None
        return running is not None and running.fingerprint != node.spec().fingerprint

    def leave(self, why: str) -> Stop:
        """Takes note that its process is about to be ended, for `why`, by the signals it returns."""
        self.message = why
        return self.stop

    def look(self, now: float) -> None:
        """Asks it whether it is ready, or still answers."""
        if self._spec is None or self.state not in {"starting", "ready", "unresponsive"} or self.node.once:
            return
        if self._spec.ready():
            if self.state == "starting":
                self.seconds = round(now - self._began, 3)
                self._say("part.ready", part=self.node.name, seconds=self.seconds)
            self.state, self._answered, self.failures = "ready", now, 0
        elif self.state == "starting" and now - self._began > self._spec.patience:
            self._say("part.late", part=self.node.name)
            self.message = f"It was not ready after {self._spec.patience:.0f} s."
            self.end()
        elif self.state == "ready":
            self.state = "unresponsive"
            self._say("part.silent", part=self.node.name)
        elif self.state == "unresponsive" and self.node.cured and now - self._answered > SILENCE_SECONDS:
            self._say("part.given_up", part=self.node.name)
            self.end()

    def ended(self, now: float) -> None:
        """Takes note that its process has ended: a task may be done, anything else starts again after a pause."""
        code = self._popen.wait() if self._popen else None
        self._forget()
        if self.node.stands_in_for and code == 0:
            self.state, self.due = "resting", now + self._pause()
            self._say("part.rests", part=self.node.name)
            return
        if self.node.once and code == 0:
            self.node.finished()
            self.state, self.seconds = "done", round(now - self._began, 3)
            self._say("part.done", part=self.node.name, seconds=self.seconds)
            return
        self._died(now, self.message or _sentence(code))

    def spare(self, until: float) -> None:
        """Takes note that a standby is not needed before `until`: the next need is a first one."""
        self.due, self._pauses = until, 0

    def end(self) -> None:
        """Ends its process by its signals; blocking up to their seconds."""
        if self.descriptor is not None:
            processes.end([(self.descriptor, self.stop)])

    def stopped(self) -> None:
        """Takes note that it was ended on purpose."""
        if self._popen:
            self._popen.wait()
        self._forget()
        self.state = "stopped"
        self._say("part.stopped", part=self.node.name)

    def record(self) -> PartRecord:
        """What to write down about it."""
        process, spec = self._process, self._spec
        return PartRecord(
            name=self.node.name,
            state=self.state,
            pid=process.pid if process else 0,
            start=process.start if process else 0,
            port=spec.port if spec else 0,
            restarts=self.restarts,
            fingerprint=self._fingerprint if process else "",
            forks=spec.forks if spec else False,
            services=self.node.services,
            message=self.message,
            seconds=self.seconds,
        )

    def last_words(self) -> str:
        """The end of its log."""
        return files.tail(self._spec.log) if self._spec else ""

    def _died(self, now: float, message: str) -> None:
        if now - self._began >= max(HEALTHY_SECONDS, 2 * self._rested):
            self._pauses = 0
        self._rested = pause = self._pause()
        self.failures += 1
        self.restarts += 1
        self.state = "resting" if self.node.stands_in_for else "waiting"
        self.message, self.due = message, now + pause
        self._say("part.died", part=self.node.name, why=message, again_after=pause)

    def _pause(self) -> float:
        """Seconds until it may start again; longer each time."""
        self._pauses += 1
        return PAUSES[min(self._pauses, len(PAUSES)) - 1]

    def _forget(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
        self.descriptor = self._popen = self._process = None
        self.adopted = False


def _sentence(code: int | None) -> str:
    if code is None:
        return "It ended."
    return f"It was ended by signal {-code}." if code < 0 else f"It ended with exit code {code}."

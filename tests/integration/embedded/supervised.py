"""A platform whose services are stand-ins, run by the real supervisor with real PostgreSQL, NATS and Envoy."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from libs.embedded import ports, processes, record, status
from libs.embedded.home import Home
from libs.embedded.processes import Process
from libs.embedded.settings import Settings, read
from libs.embedded.status import PartStatus, Status
from libs.testing.eventually import eventually

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from libs.embedded.supervisor import main
sys.exit(main(program=(sys.executable, "-m", "tests.integration.embedded.fake_services")))
"""
START_SECONDS = 40


@dataclass
class Supervised:
    """One platform of a test; `start` and `kill` act on its supervisor."""

    path: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=ports.free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def settings(self) -> Settings:
        return read(self._variables)

    @property
    def home(self) -> Home:
        return Home(self.path)

    @property
    def _variables(self) -> dict[str, str]:
        return {"LIGHTRAIL_HOME": str(self.path), "LIGHTRAIL_PORT": str(self.port), **self.variables}

    def launch(self) -> subprocess.Popen[bytes]:
        """Starts a supervisor and does not wait for anything."""
        self.path.mkdir(exist_ok=True)
        own = {name: value for name, value in os.environ.items() if not name.startswith("LIGHTRAIL_")}
        with (self.path / "supervisor.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM], env={**own, **self._variables}, cwd=ROOT, stdout=log, stderr=log
            )
        return self.process

    async def start(self) -> None:
        """Starts a supervisor and returns when it says that the platform is ready."""
        process = self.launch()

        def is_ready() -> None:
            assert process.poll() is None, self.said()
            now = record.load(self.home)
            assert now, "nothing is recorded yet"
            assert (now.pid, now.phase) == (process.pid, "ready"), now

        await eventually(is_ready, within=START_SECONDS)

    async def ends(self) -> int:
        """Waits for the supervisor's end and gives its exit code."""
        process = self.process
        assert process

        def has_ended() -> None:
            assert process.poll() is not None, "the supervisor runs"

        await eventually(has_ended, within=START_SECONDS)
        return process.returncode

    async def stop(self) -> int:
        """Stops it in order."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return await self.ends()

    async def kill(self) -> None:
        """Ends the supervisor at once, as a power cut would end it alone."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def status(self) -> Status:
        return status.look(self.settings)

    def parts(self) -> dict[str, PartStatus]:
        return {part.name: part for part in self.status().parts}

    def found(self, part: str) -> Process:
        """The process of a part; fails when it has none."""
        pid = self.parts()[part].pid
        assert pid, f"{part} does not run"
        process = processes.find(pid)
        assert process, f"{part} has ended"
        return process

    def chosen_ports(self) -> dict[str, int]:
        last = record.load(self.home)
        assert last
        return last.ports

    def application(self) -> Process | None:
        """The process that the stand-in services started and that nobody may end."""
        return processes.find(int((self.path / "application.pid").read_text()))

    def said(self) -> str:
        return (self.path / "supervisor.log").read_text()

    def clean(self) -> None:
        """Ends everything that may be left."""
        pids = [part.pid for part in self.status().parts if part.pid]
        if self.process and self.process.poll() is None:
            pids.insert(0, self.process.pid)
        with suppress(FileNotFoundError):
            pids.append(int((self.path / "application.pid").read_text()))
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait()

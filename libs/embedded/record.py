"""What is running, on disk: for people, for the `platform` verbs, and for the next supervisor after a crash."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from libs.embedded import processes
from libs.embedded.home import Home
from libs.embedded.processes import Process

Phase = Literal["starting", "ready", "stopping", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class PartRecord:
    """One part as it was when the record was written."""

    name: str
    state: str
    pid: int = 0
    start: int = 0
    port: int = 0
    restarts: int = 0
    fingerprint: str = ""
    # Whether its memory is that of its whole tree of processes.
    forks: bool = False
    services: tuple[str, ...] = ()
    # Why it is not running, when it is not.
    message: str = ""
    # Seconds from its start until it was ready.
    seconds: float | None = None

    @property
    def process(self) -> Process | None:
        """Its process, running or not; None when it has none."""
        return Process(self.pid, self.start) if self.pid else None


@dataclass(frozen=True, slots=True)
class Record:
    """One platform as its supervisor last wrote it."""

    phase: Phase
    topology: str
    url: str
    pid: int
    start: int
    message: str = ""
    # Seconds from the supervisor's start until everything was ready.
    seconds: float | None = None
    # Addresses of metrics, services and so on, by name.
    ports: dict[str, int] = field(default_factory=dict)
    parts: tuple[PartRecord, ...] = ()
    # True when this start made the one-time set-up token.
    first: bool = False

    @property
    def supervisor(self) -> Process:
        """The supervisor's process, running or not."""
        return Process(self.pid, self.start)

    def part(self, name: str) -> PartRecord | None:
        """The part of this name."""
        return next((part for part in self.parts if part.name == name), None)


def save(home: Home, record: Record) -> None:
    """Replaces the record. Whole or not at all; not forced to disk, as it means nothing after the machine restarts."""
    path = _path(home)
    fresh = path.with_name(f".{path.name}")
    fresh.write_text(json.dumps({"boot": processes.boot(), **asdict(record)}, indent=1) + "\n")
    fresh.chmod(0o600)
    fresh.replace(path)


def load(home: Home) -> Record | None:
    """Returns the record; None when there is none, or the machine has started since: no pid in it means anything."""
    try:
        found: dict[str, Any] = json.loads(_path(home).read_text())
        if found.pop("boot") != processes.boot():
            return None
        parts = [PartRecord(**{**part, "services": tuple(part["services"])}) for part in found.pop("parts")]
        return Record(**found, parts=tuple(parts))
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        # Torn or of another version: as good as none.
        return None


def running(home: Home) -> Record | None:
    """Returns the record of a supervisor that is running now; None when none is."""
    record = load(home)
    return record if record and record.supervisor.alive else None


def _path(home: Home) -> Path:
    return home.state / "platform.json"

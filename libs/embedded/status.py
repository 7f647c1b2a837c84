"""How one platform is right now: its record, compared with what the kernel says about its processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from libs.embedded import applications, exposure, ports, processes, record
from libs.embedded.home import Home
from libs.embedded.processes import Process
from libs.embedded.record import PartRecord, Record
from libs.embedded.settings import Settings

State = Literal["running", "starting", "waiting", "unresponsive", "stopped", "external"]
Overall = Literal["starting", "ready", "stopping", "stopped", "failed", "crashed"]


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part. Services that share a process share its pid, memory and restarts."""

    name: str
    state: State
    pid: int | None = None
    port: int | None = None
    address: str | None = None
    # Proportional (PSS), of the whole process tree for PostgreSQL.
    memory_bytes: int = 0
    uptime_seconds: float = 0.0
    restarts: int = 0
    metrics_address: str | None = None
    http_address: str | None = None
    log: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """One platform."""

    phase: Overall
    topology: str
    home: str
    url: str
    message: str = ""
    uptime_seconds: float = 0.0
    # Of all parts together, each process counted once.
    memory_bytes: int = 0
    # From the supervisor's start until everything was ready.
    start_seconds: float | None = None
    # Listening addresses of parts and applications that are not on loopback.
    reachable_from_outside: list[str] = field(default_factory=list)
    parts: list[PartStatus] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Whether everything that belongs to it runs and answers."""
        return self.phase == "ready" and all(part.state in {"running", "external"} for part in self.parts)


def look(settings: Settings) -> Status:
    """Returns the platform's state; `stopped` when it does not run."""
    home = Home(settings.home)
    last = record.load(home)
    nothing = Status(phase="stopped", topology=settings.topology, home=str(home.path), url=settings.url)
    if last is None:
        return nothing
    measured = _Measured()
    alive = last.supervisor.alive
    parts = [part for known in last.parts for part in _parts(known, last, home, measured, watched=alive)]
    if not alive and not any(part.pid for part in parts):
        return Status(
            phase="failed" if last.phase == "failed" else "stopped",
            topology=last.topology,
            home=str(home.path),
            url=last.url,
            message=last.message,
        )
    supervisor = PartStatus(
        name="supervisor",
        state="running" if alive else "stopped",
        pid=last.pid if alive else None,
        memory_bytes=measured.memory(last.supervisor, tree=False) if alive else 0,
        uptime_seconds=round(last.supervisor.uptime, 1) if alive else 0.0,
        log=str(home.log("platform")),
    )
    return Status(
        phase=last.phase if alive else "crashed",
        topology=last.topology,
        home=str(home.path),
        url=last.url,
        message=last.message
        if alive
        else "Its supervisor ended without a word. What still runs is taken over by: lr platform up",
        uptime_seconds=supervisor.uptime_seconds,
        memory_bytes=measured.total,
        start_seconds=last.seconds,
        reachable_from_outside=[*exposure.open_ports(measured.pids), *applications.open_ports(home.path)],
        parts=[supervisor, *parts],
    )


class _Measured:
    """Memory of processes, each looked at once."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    @property
    def pids(self) -> list[int]:
        return list(self._known)

    @property
    def total(self) -> int:
        return sum(self._known.values())

    def memory(self, process: Process, *, tree: bool) -> int:
        if process.pid not in self._known:
            self._known[process.pid] = processes.memory(process, tree=tree)
        return self._known[process.pid]


def _parts(known: PartRecord, last: Record, home: Home, measured: _Measured, *, watched: bool) -> list[PartStatus]:
    """The rows of a recorded part: itself, or each service in it. Tasks that end by themselves are no parts.

    A standby is one while it runs.
    """
    if known.state == "external":
        return [PartStatus(name=known.name, state="external")]
    process = known.process
    alive = process is not None and process.alive
    if known.name == "provision" or (known.name == "standby" and not alive):
        return []
    state = _state(known, alive=alive, watched=watched)
    shared: dict[str, object] = {
        "state": state,
        "pid": known.pid if alive else None,
        "memory_bytes": measured.memory(process, tree=known.forks) if process and alive else 0,
        "uptime_seconds": round(process.uptime, 1) if process and alive else 0.0,
        "restarts": known.restarts,
        "log": str(home.log(known.name)),
        "message": known.message,
    }
    if not known.services:
        return [_row(known.name, known.port, shared)]
    metrics = _address(last.ports.get(f"metrics-{known.name}"))
    gateway = {"http_address": _address(last.ports.get("gateway-http"))}
    return [
        _row(
            service,
            last.ports.get(service),
            {**shared, "metrics_address": metrics, **(gateway if service == "gateway" else {})},
        )
        for service in known.services
    ]


def _row(name: str, port: int | None, rest: dict[str, object]) -> PartStatus:
    return PartStatus(name=name, port=port, address=_address(port), **rest)  # type: ignore[arg-type] # all are fields


def _state(known: PartRecord, *, alive: bool, watched: bool) -> State:
    if not alive:
        return "waiting" if watched and known.state in {"waiting", "ready", "starting"} else "stopped"
    states: dict[str, State] = {"starting": "starting", "unresponsive": "unresponsive"}
    return states.get(known.state, "running")


def _address(port: int | None) -> str | None:
    return f"{ports.LOOPBACK}:{port}" if port else None

"""A runtime in memory under the same contract as the real one; tests decide what its processes do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from libs.kernel.clock import Clock
from libs.kernel.errors import Failure, NotFound
from services.deploy.domain.instance import Launch, Observed

SIGTERM_CODE = 143
SIGKILL_CODE = 137


@dataclass(frozen=True, slots=True)
class Program:
    """What a command does: prints at once, then exits with a code, or runs on until it is asked to end."""

    output: bytes = b""
    exit_code: int | None = None
    heeds_sigterm: bool = True


@dataclass(slots=True)
class Running:
    """One instance in memory."""

    launch: Launch
    seen: Observed
    output: bytes
    heeds_sigterm: bool


@dataclass(slots=True)
class Machine:
    """What outlives a runtime: share it between two to test adoption."""

    instances: dict[str, Running] = field(default_factory=dict)
    ports: int = 20_000


class MemoryRuntime:
    """Starts nothing. Commands not in `programs` run until they are asked to end."""

    def __init__(
        self, clock: Clock, programs: Mapping[str, Program] | None = None, machine: Machine | None = None
    ) -> None:
        self._clock = clock
        self._programs = dict(programs or {})
        self.machine = machine or Machine()
        # Every start that had an effect, in order.
        self.started: list[Launch] = []
        self.terminated: list[tuple[str, float]] = []
        # How far the output of each may be forgotten.
        self.trimmed: dict[str, int] = {}
        # Raised by the next starts, one each.
        self.start_failures: list[Failure] = []

    async def start(self, launch: Launch) -> None:
        if launch.instance_id in self.machine.instances:
            return
        if self.start_failures:
            raise self.start_failures.pop(0)
        program = self._programs.get(launch.artifact.start_command, Program())
        self.machine.ports += 1
        seen = Observed(
            instance_id=launch.instance_id,
            run_id=launch.instance_id,
            alive=program.exit_code is None,
            exit_code=program.exit_code,
            oom=False,
            started_at=self._clock.now(),
            port=launch.port or self.machine.ports,
            cpu_microseconds=1000,
            memory_bytes=1_000_000 if program.exit_code is None else 0,
        )
        self.machine.instances[launch.instance_id] = Running(launch, seen, program.output, program.heeds_sigterm)
        self.started.append(launch)

    async def observe(self) -> Sequence[Observed]:
        return [running.seen for _, running in sorted(self.machine.instances.items())]

    async def terminate(self, instance_id: str, *, grace: float) -> None:
        self.terminated.append((instance_id, grace))
        running = self.machine.instances.get(instance_id)
        if running is None or not running.seen.alive:
            return
        if not running.heeds_sigterm and grace:
            await self._clock.sleep(grace)
        self.exit(instance_id, SIGTERM_CODE if running.heeds_sigterm and grace else SIGKILL_CODE)

    async def remove(self, instance_id: str) -> None:
        self.machine.instances.pop(instance_id, None)

    async def read_output(self, instance_id: str, offset: int, limit: int) -> bytes:
        if instance_id not in self.machine.instances:
            raise NotFound(f"Instance {instance_id} is not here.")
        return self.machine.instances[instance_id].output[offset : offset + limit]

    async def output_size(self, instance_id: str) -> int:
        running = self.machine.instances.get(instance_id)
        return len(running.output) if running else 0

    async def trim_output(self, instance_id: str, offset: int) -> None:
        self.trimmed[instance_id] = offset

    def exit(self, instance_id: str, code: int | None, *, oom: bool = False) -> None:
        """Ends an instance by itself; None: with the machine, unseen."""
        running = self.machine.instances[instance_id]
        running.seen = replace(running.seen, alive=False, exit_code=code, oom=oom, memory_bytes=0)

    def print(self, instance_id: str, text: bytes) -> None:
        """Makes an instance print."""
        self.machine.instances[instance_id].output += text

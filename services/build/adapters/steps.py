"""Runs the commands of a step in a sandbox."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Final, Protocol

from libs.kernel.errors import Invalid
from libs.kernel.units import show_bytes
from libs.plans.faults import BuildFault
from libs.plans.plan import APP, RUNTIME, Step
from libs.sandbox.sandbox import Output as SandboxOutput
from libs.sandbox.spec import Exit, Limits, Mount, Spec
from services.build.adapters.disk import DiskWatch, Filled
from services.build.app.ports import Job, Output
from services.build.domain.log import telling

# Names that a user's variables cannot change while the platform builds.
OURS: Final = frozenset({"PATH", "HOME", "VIRTUAL_ENV", "TMPDIR"})
# Variables of the user's that change what an installer installs.
INSTALLERS: Final = ("UV_", "PIP_", "npm_config_", "NPM_CONFIG_", "NODE_ENV", "NPM_TOKEN")
_MEMORY: Final = re.compile(r"MemoryError|cannot allocate memory|heap out of memory|bad_alloc", re.IGNORECASE)
_SHOWN_COMMAND: Final = 200


class Runner(Protocol):
    """The part of a sandbox that builds need."""

    async def run(self, spec: Spec, *, output: SandboxOutput, timeout: float) -> Exit:  # noqa: ASYNC109 - a result
        """Runs a program to its end."""
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """What every command of a step sees, with the path of the runtime's interpreter."""

    runtime: str
    mounts: Sequence[Mount]
    environment: Mapping[str, str]
    # Where commands write to the disk.
    filled: Filled | None = None


@dataclass(frozen=True, slots=True)
class Commands:
    """Runs commands one after the other, with the same caps and deadline (seconds) each."""

    sandbox: Runner
    limits: Limits
    deadline: float
    # Stops what fills the disk; None: nothing does.
    disk: DiskWatch | None = None

    async def run(self, job: Job, step: Step, room: Room, output: Output) -> None:
        """Runs all commands of the step. BuildFault names the first that fails, and its most telling line."""

        async def said(stream: str, data: bytes) -> None:
            await output.chunk(step.name, stream, data)

        for command in step.commands:
            argv = [room.runtime if word == RUNTIME else word for word in command]
            shown = show_command(argv)
            await output.say(step.name, f"$ {shown}")
            spec = Spec(
                argv=argv,
                env=room.environment,
                cwd=APP,
                mounts=room.mounts,
                owner=owner_of(job),
                network=step.network,
                limits=self.limits,
            )
            try:
                async with self._watched(room):
                    ended = await self.sandbox.run(spec, output=said, timeout=self.deadline)
            except Invalid as error:
                raise BuildFault(f"The step {step.name} cannot run “{_cut(shown)}”: {error}") from error
            await output.flush(step.name)
            if ended.code != 0 or ended.oom:
                raise BuildFault(self._why(step, shown, ended, telling(output.recent(step.name))))

    def _watched(self, room: Room) -> AbstractAsyncContextManager[None]:
        return self.disk(room.filled) if self.disk and room.filled else nullcontext()

    def _why(self, step: Step, shown: str, ended: Exit, line: str) -> str:
        begin = f"The step {step.name} failed: “{_cut(shown)}”"
        if ended.oom and self.limits.memory_bytes is not None:
            return f"{begin} ran out of memory (limit {_amount(self.limits.memory_bytes)})."
        if ended.timed_out:
            return f"{begin} took longer than {self.deadline:.0f} seconds."
        if _MEMORY.search(line) and self.limits.memory_bytes is not None:
            # Without control groups the program itself meets the limit, and says so in its own words.
            line += f" (memory limit {_amount(self.limits.memory_bytes)})"
        how = f"was ended by signal {ended.signal}" if ended.signal else f"ended with exit code {ended.code}"
        return f"{begin} {how}: {line}" if line else f"{begin} {how} and said nothing."


def _cut(shown: str) -> str:
    return shown if len(shown) <= _SHOWN_COMMAND else shown[:_SHOWN_COMMAND] + " …"


def _amount(limit: int) -> str:
    return show_bytes(limit).replace(".0 ", " ")


def owner_of(job: Job) -> str:
    """Whose programs these are: builds of one workspace share a uid, and so their download caches."""
    return f"build:{job.build.workspace_id}"


def show_command(argv: Sequence[str]) -> str:
    """The command as a person would type it."""
    if len(argv) == 3 and tuple(argv[:2]) == ("sh", "-c"):  # noqa: PLR2004 - sh, -c, and the person's own text
        return argv[2]
    return shlex.join(argv)


def environment_of(base: Mapping[str, str], user: Mapping[str, str], step: Mapping[str, str]) -> dict[str, str]:
    """A step's variables: ours, the user's over them save what building rests on, the step's over all; empty: unset."""
    merged = {**base, **{name: value for name, value in user.items() if name not in OURS}, **step}
    return {name: value for name, value in merged.items() if value or name not in step}

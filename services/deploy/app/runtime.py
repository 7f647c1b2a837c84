"""The port that everything which can run instances stands behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.deploy.domain.instance import Launch, Observed


class Runtime(Protocol):
    """Runs instances. They outlive the platform's process; whoever opens the runtime next finds them again.

    Every call may be repeated, be cancelled, or die half-way: the next one ends right.
    """

    async def start(self, launch: Launch) -> None:
        """Starts the instance unless it was started before, alive or ended by now: there is never a second process.

        A command that does not exist is an instance that exits with 127, not an error here. Invalid: this launch can
        never work here, and says why; NotFound: a layer's blob is gone; Unavailable, Exhausted: try again later.
        """
        ...

    async def observe(self) -> Sequence[Observed]:
        """Every instance that was started and not removed, alive or ended, also by an earlier process; by id."""
        ...

    async def terminate(self, instance_id: str, *, grace: float) -> None:
        """Asks it to end (SIGTERM), after `grace` seconds makes it (SIGKILL), and returns when nothing of it runs.

        Harmless when it has ended or never was. Unavailable when it cannot be killed.
        """
        ...

    async def remove(self, instance_id: str) -> None:
        """Frees everything it holds, killing what still runs; harmless when there is nothing."""
        ...

    async def read_output(self, instance_id: str, offset: int, limit: int) -> bytes:
        """Up to `limit` bytes of what it printed (stdout and stderr, in order) from byte `offset`; empty: no more yet.

        NotFound when there is no such instance. Bytes before a trimmed offset are not to be asked for.
        """
        ...

    async def output_size(self, instance_id: str) -> int:
        """Bytes it has printed so far, trimmed or not; 0 when there is no such instance."""
        ...

    async def trim_output(self, instance_id: str, offset: int) -> None:
        """Frees the room taken by output before byte `offset`, soon; offsets stay as they are."""
        ...

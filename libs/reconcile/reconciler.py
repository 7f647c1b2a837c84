"""What a loop offers to the driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Again:
    """The key wants another step after this many seconds."""

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Done:
    """The key is as it should be; the next full look, or a wake, comes back to it."""


Outcome = Again | Done


class Reconciler(Protocol):
    """Finds what wants work and takes one step of it. Takes no input: it looks for itself."""

    name: str
    # Seconds between two full looks; the latency when every wake is lost.
    period: float

    async def due(self) -> Sequence[str]:
        """Keys that want a step now."""
        ...

    async def step(self, key: str) -> Outcome:
        """Takes one step that is safe to repeat. What it raises means: back off, then again."""
        ...

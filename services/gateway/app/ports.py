"""What the gateway needs from others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from libs.kernel.context import Actor, Ctx
from libs.kernel.secret import Secret


@dataclass(frozen=True, slots=True)
class Admission:
    """Who a credential stands for, and until when that answer may be used."""

    actor: Actor
    expires_at: datetime


class Doorkeeper(Protocol):
    """Knows credentials."""

    async def admit(self, credential: Secret[str], method: str) -> Admission:
        """Tells who calls. Denied when it is unknown or may not call `method`: "package.Service/Method"."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """A fact as a person may see it: the payload as plain JSON values."""

    id: str
    source: str
    sequence: int
    subject: str
    workspace_id: str
    correlation_id: str
    recorded_at: datetime
    data: dict[str, object]

    @property
    def project_id(self) -> str:
        """The project it is about, when the fact says so."""
        return str(self.data.get("project_id", ""))

    @property
    def environment_id(self) -> str:
        """The environment it is about, when the fact says so."""
        return str(self.data.get("environment_id", ""))


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A fact that a service could not react to."""

    # The service that could not react; ask it to try again.
    service: str
    event: Event
    reason: str
    attempts: int
    died_at: datetime


class FactSources(Protocol):
    """Every service's own record of what happened."""

    @property
    def names(self) -> Sequence[str]:
        """Services that keep facts."""
        ...

    async def about(self, source: str, correlation_id: str) -> Sequence[Event]:
        """Facts of one source with this correlation id, in order. Unavailable when the source is away."""
        ...

    async def dead_letters(self, service: str, ctx: Ctx) -> Sequence[DeadLetter]:
        """Facts that a service could not react to. Denied unless the caller is an operator."""
        ...

    async def replay(self, service: str, fact_id: str, ctx: Ctx) -> None:
        """Lets a service react again. NotFound when it has no such letter."""
        ...

"""Usage, events, timelines, dead letters, health."""

from __future__ import annotations

from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from libs.protogen.lightrail.metering.v1 import metering_pb2
from services.gateway.app import ports
from services.gateway.http.models.base import Answered
from services.gateway.http.wire import always, text

PartState = Literal["ready", "away"]


class Health(Answered):
    """Whether every service the API needs answers."""

    status: PartState
    services: dict[str, PartState]


class ServiceUsage(Answered):
    """Use of one service."""

    service_id: str
    environment_id: str
    project_id: str
    cpu_microseconds: int
    memory_byte_seconds: int
    egress_bytes: int
    cost_micro_usd: int = Field(description="Millionths of a dollar, by the operator's price table.")

    @classmethod
    def of(cls, wire: metering_pb2.Usage) -> Self:
        """Reads it from its message."""
        return cls(
            service_id=wire.service_id,
            environment_id=wire.environment_id,
            project_id=wire.project_id,
            cpu_microseconds=wire.cpu_microseconds,
            memory_byte_seconds=wire.memory_byte_seconds,
            egress_bytes=wire.egress_bytes,
            cost_micro_usd=wire.cost_micro_usd,
        )


class Usage(Answered):
    """Use between two times."""

    items: list[ServiceUsage]
    total_micro_usd: int
    start: datetime
    end: datetime

    @classmethod
    def of(cls, wire: metering_pb2.QueryUsageResponse) -> Self:
        """Reads it from its message."""
        return cls(
            items=[ServiceUsage.of(row) for row in wire.services],
            total_micro_usd=wire.total_micro_usd,
            start=always(wire, "start"),
            end=always(wire, "end"),
        )


class Event(Answered):
    """Something that happened."""

    id: str
    source: str
    sequence: int
    type: str = Field(description="The fact's subject: lightrail.deploy.deployment.went_live.v1")
    workspace_id: str | None
    correlation_id: str | None = Field(description="The deployment it belongs to, where there is one.")
    time: datetime
    data: dict[str, object]

    @classmethod
    def of(cls, event: ports.Event) -> Self:
        """Reads it from the use case's form."""
        return cls(
            id=event.id,
            source=event.source,
            sequence=event.sequence,
            type=event.subject,
            workspace_id=text(event.workspace_id),
            correlation_id=text(event.correlation_id),
            time=event.recorded_at,
            data=event.data,
        )


class Timeline(Answered):
    """What happened to one deployment, over all services, in order."""

    deployment_id: str
    events: list[Event]
    missing: list[str] = Field(description="Services that did not answer; their events are not here.")


class DeadLetter(Answered):
    """A fact that a service could not react to."""

    source: str = Field(description="The service that could not react; name it to replay.")
    fact_id: str
    event: Event
    reason: str
    attempts: int
    died_at: datetime

    @classmethod
    def of(cls, letter: ports.DeadLetter) -> Self:
        """Reads it from the use case's form."""
        return cls(
            source=letter.service,
            fact_id=letter.event.id,
            event=Event.of(letter.event),
            reason=letter.reason,
            attempts=letter.attempts,
            died_at=letter.died_at,
        )


class DeadLetters(Answered):
    """All of them, and the services that could not be asked."""

    items: list[DeadLetter]
    missing: list[str]

"""A fact: something that happened, told by its owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from libs.bus import Message


@dataclass(frozen=True, slots=True)
class NewFact:
    """A fact to be recorded."""

    # lightrail.<service>.<noun>.<past_tense>.v1
    subject: str
    workspace_id: str
    # What it is about across services: the deployment id where there is one.
    correlation_id: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Fact:
    """A recorded fact; `sequence` is gapless per source, from 1."""

    id: str
    source: str
    sequence: int
    subject: str
    workspace_id: str
    correlation_id: str
    recorded_at: datetime
    payload: bytes
    traceparent: str = ""


# Runs inside a transaction of the follower's database; what it writes and the cursor move together.
Handler = Callable[[Fact], Awaitable[None]]


def to_message(fact: Fact) -> Message:
    """CloudEvents 1.0 attributes in headers, protobuf in the data."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": fact.id,
        "ce-source": f"lightrail/{fact.source}",
        "ce-type": fact.subject,
        "ce-time": fact.recorded_at.isoformat(),
        "ce-subject": fact.correlation_id,
        "ce-lightrailsequence": str(fact.sequence),
        "ce-lightrailworkspace": fact.workspace_id,
        "content-type": "application/protobuf",
    }
    if fact.traceparent:
        headers["traceparent"] = fact.traceparent
    return Message(fact.subject, fact.payload, headers)


def from_message(message: Message) -> Fact:
    """The fact in a message that `to_message` made."""
    headers: Mapping[str, str] = message.headers
    return Fact(
        id=headers["ce-id"],
        source=headers["ce-source"].removeprefix("lightrail/"),
        sequence=int(headers["ce-lightrailsequence"]),
        subject=message.subject,
        workspace_id=headers.get("ce-lightrailworkspace", ""),
        correlation_id=headers.get("ce-subject", ""),
        recorded_at=datetime.fromisoformat(headers["ce-time"]),
        payload=message.data,
        traceparent=headers.get("traceparent", ""),
    )

"""Facts of metering as messages of proto/lightrail/metering/v1/events.proto."""

from __future__ import annotations

from typing import Final

from libs.facts import NewFact
from libs.protogen.lightrail.metering.v1 import events_pb2
from services.metering.domain.facts import MinuteRecorded

MINUTE_RECORDED: Final = "lightrail.metering.minute.recorded.v1"


def encode(fact: MinuteRecorded) -> NewFact:
    """Returns the fact as the outbox keeps it; a minute belongs to no single workspace."""
    message = events_pb2.MinuteRecorded(minute_unix_seconds=int(fact.minute.timestamp()), samples=fact.samples)
    return NewFact(MINUTE_RECORDED, "", "", message.SerializeToString(deterministic=True))

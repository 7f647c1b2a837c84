"""Bills as protobuf messages, and questions from them."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from libs.kernel.errors import Invalid
from libs.protogen.lightrail.metering.v1 import metering_pb2
from services.metering.app.usage import Asked, Bill, Line


def asked(request: metering_pb2.QueryUsageRequest) -> Asked:
    """Returns the question; Invalid when a time is none."""
    return Asked(
        workspace_id=request.workspace_id,
        project_id=request.project_id,
        service_id=request.service_id,
        start=_moment(request.start, "start") if request.HasField("start") else None,
        end=_moment(request.end, "end") if request.HasField("end") else None,
    )


def bill(answer: Bill) -> metering_pb2.QueryUsageResponse:
    """Returns the answer as a message."""
    return metering_pb2.QueryUsageResponse(
        services=[_line(line) for line in answer.lines],
        total_micro_usd=answer.total,
        start=_timestamp(answer.window.start),
        end=_timestamp(answer.window.end),
    )


def _line(line: Line) -> metering_pb2.Usage:
    return metering_pb2.Usage(
        service_id=line.place.service_id,
        environment_id=line.place.environment_id,
        project_id=line.place.project_id,
        cpu_microseconds=line.use.cpu_microseconds,
        memory_byte_seconds=line.use.memory_byte_seconds,
        egress_bytes=line.use.egress_bytes,
        cost_micro_usd=line.cost,
    )


def _timestamp(moment: datetime) -> Timestamp:
    message = Timestamp()
    message.FromDatetime(moment)
    return message


def _moment(message: Timestamp, field: str) -> datetime:
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise Invalid("That is no time between the years 1 and 9999.", field=field) from None

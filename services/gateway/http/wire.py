"""Small translations between protobuf and JSON values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from google.protobuf.message import Message

from libs.kernel.context import Role
from libs.protogen.lightrail.common.v1 import authorization_pb2

ROLES: Final = {
    "viewer": authorization_pb2.ROLE_VIEWER,
    "developer": authorization_pb2.ROLE_DEVELOPER,
    "admin": authorization_pb2.ROLE_ADMIN,
    "owner": authorization_pb2.ROLE_OWNER,
}


def moment(message: Message, field: str) -> datetime | None:
    """The time in a Timestamp field, in UTC; None when it is unset."""
    if not message.HasField(field):
        return None
    value: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return value


def always(message: Message, field: str) -> datetime:
    """The time in a Timestamp field that is always set; the epoch when a service left it out."""
    value: datetime = getattr(message, field).ToDatetime(tzinfo=UTC)
    return value


def text(value: str) -> str | None:
    """An empty string on the wire is nothing in JSON."""
    return value or None


def role_name(value: int) -> str:
    """The name of a role as the API writes it: "developer"; "none" for one it does not know."""
    try:
        return Role(value).name.lower()
    except ValueError:
        return "none"

"""What builds keep for the next one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, Self

from pydantic import Field

from libs.protogen.lightrail.build.v1 import upkeep_pb2
from services.gateway.http.models.base import Answered
from services.gateway.http.wire import always, text


class Cache(Answered):
    """Something kept for the next build."""

    kind: Literal["tool", "dependencies"] = Field(
        description="tool: downloads of a package manager, shared by the workspace; dependencies: installed ones."
    )
    name: str = Field(description="The tool, or the folder the dependencies are installed to.")
    size_bytes: int
    used_at: datetime
    service_id: str | None = Field(description="Of dependencies: the service that used them last.")

    @classmethod
    def of(cls, wire: upkeep_pb2.Cache) -> Self:
        """Reads it from its message."""
        return cls(
            kind="tool" if wire.kind == "tool" else "dependencies",
            name=wire.name,
            size_bytes=wire.size_bytes,
            used_at=always(wire, "used_at"),
            service_id=text(wire.service_id),
        )


class ClearedCaches(Answered):
    """What was forgotten."""

    count: int
    bytes: int
    busy: Sequence[str] = Field(description="Tools whose downloads a build is using; they were left as they are.")

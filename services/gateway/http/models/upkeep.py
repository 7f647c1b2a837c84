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


class Collected(Answered):
    """What of one kind went."""

    what: str
    count: int
    bytes: int = Field(description="Of the disk; 0 where only rows of the database go.")
    why: str


class Collection(Answered):
    """What one collection removed, or would remove."""

    at: datetime
    dry_run: bool
    pressed: bool = Field(description="The disk was above its high watermark: more than usual went.")
    disk_total_bytes: int
    disk_free_bytes: int
    items: Sequence[Collected]
    unknown: Sequence[str] = Field(
        description="Artifacts that run and that the builder does not know; while there are any, no blob is removed."
    )

    @classmethod
    def of(cls, wire: upkeep_pb2.Collection) -> Self:
        """Reads it from its message."""
        return cls(
            at=always(wire, "at"),
            dry_run=wire.dry_run,
            pressed=wire.pressed,
            disk_total_bytes=wire.disk_total_bytes,
            disk_free_bytes=wire.disk_free_bytes,
            items=[Collected(what=one.what, count=one.count, bytes=one.bytes, why=one.why) for one in wire.items],
            unknown=list(wire.unknown),
        )

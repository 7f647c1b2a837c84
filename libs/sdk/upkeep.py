"""What builds keep, and what collections remove, as the API tells it."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class BuildCache(Struct, frozen=True):
    """Something that builds keep for the next one."""

    kind: str
    name: str
    size_bytes: int
    used_at: datetime
    service_id: str | None = None


class ClearedCaches(Struct, frozen=True):
    """What was forgotten; `busy` are tools whose downloads a build is using."""

    count: int
    bytes: int
    busy: list[str]


class Collected(Struct, frozen=True):
    """What of one kind went, and why."""

    what: str
    count: int
    bytes: int
    why: str


class Collection(Struct, frozen=True):
    """What one collection removed, or would remove."""

    at: datetime
    dry_run: bool
    pressed: bool
    disk_total_bytes: int
    disk_free_bytes: int
    items: list[Collected]
    unknown: list[str]

"""The story of one deployment across services, from every service's own facts."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from libs.kernel.errors import Unavailable
from services.gateway.app.ports import Event, FactSources


@dataclass(frozen=True, slots=True)
class Timeline:
    """Facts in the order they were recorded, and the services that could not be asked."""

    events: Sequence[Event]
    missing: Sequence[str]


async def tell(sources: FactSources, workspace_id: str, correlation_id: str) -> Timeline:
    """Merges all facts of one deployment by time; facts of other workspaces never appear.

    A service that is away is named instead of failing the whole story.
    """
    answers = await asyncio.gather(*(_ask(sources, name, correlation_id) for name in sources.names))
    missing = [name for name, events in zip(sources.names, answers, strict=True) if events is None]
    # A merge, not a sort: within a source its own order stands, whatever its clock did.
    merged = heapq.merge(*(answer for answer in answers if answer), key=lambda event: event.recorded_at)
    return Timeline([event for event in merged if event.workspace_id == workspace_id], missing)


async def _ask(sources: FactSources, name: str, correlation_id: str) -> Sequence[Event] | None:
    try:
        return await sources.about(name, correlation_id)
    except Unavailable:
        return None

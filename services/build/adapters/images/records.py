"""What the platform's own engine keeps for the next build: BuildKit's records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from libs.kernel.errors import Unavailable
from services.build.adapters.images.own import OwnEngine
from services.build.adapters.images.remembered import Remembered
from services.build.app.ports import Cache

_STEP: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class EngineCaches:
    """Records that no image consists of: layers of earlier builds, cache mounts, copies of sources."""

    engine: OwnEngine
    remembered: Remembered[Cache]

    async def measure(self) -> list[Cache]:
        """All of them; none when the engine cannot be started, which the next collection tries again."""
        try:
            return await self.remembered.look(self._ask)
        except Unavailable:
            return []

    async def remove(self, cache: Cache) -> bool:
        """Removes one; False while a build or another record needs it. Harmless when it is gone."""
        async with self.engine.held():
            answer = await self.engine.ask("POST", "/build/prune", all="1", filters=json.dumps({"id": [cache.name]}))
            self.remembered.forget()
            if cache.name in (answer.get("CachesDeleted") or []):
                return True
            return all(cache.name != one["ID"] for one in await self._records())

    async def _ask(self) -> list[Cache]:
        return spare_records(await self._records())

    async def _records(self) -> list[dict[str, Any]]:
        async with self.engine.held():
            found = await self.engine.ask("GET", "/system/df")
        return found.get("BuildCache") or []


def spare_records(records: Iterable[Mapping[str, Any]]) -> list[Cache]:
    """Records that may go, as the engine lists them; sizes in bytes.

    A record goes only after all that stand on it, so it counts as used just after the last of them.
    """
    known = {str(one["ID"]): one for one in records}
    above: dict[str, list[str]] = {}
    for ident, one in known.items():
        for parent in _parents(one):
            above.setdefault(parent, []).append(ident)
    moments: dict[str, datetime] = {}

    def moment(ident: str) -> datetime:
        if ident not in moments:
            one = known[ident]
            own = datetime.fromisoformat(one.get("LastUsedAt") or one["CreatedAt"]).astimezone(UTC)
            moments[ident] = max([own, *(moment(child) + _STEP for child in above.get(ident, []))])
        return moments[ident]

    return [
        Cache("", ident, max(0, int(one["Size"])), moment(ident))
        for ident, one in known.items()
        # What is shared is part of an image, and goes with it.
        if not one["Shared"] and not one["InUse"]
    ]


def _parents(record: Mapping[str, Any]) -> list[str]:
    """What a record stands on. Engines from 23 on name several, and some have a blank before the word."""
    several = record.get("Parents") or record.get(" Parents")
    return [str(one) for one in several or [record.get("Parent")]]

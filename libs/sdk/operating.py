"""What only operators may ask."""

from __future__ import annotations

from typing import Final

from libs.sdk import models, upkeep
from libs.sdk.transport import Transport, part

NOTHING: Final = type(None)


class Operating(Transport):
    """The calls about the platform itself; Denied for everybody else."""

    async def dead_letters(self) -> models.DeadLetters:
        """Facts that a service could not react to."""
        return await self.call("GET", "/platform/dead-letters", models.DeadLetters)

    async def replay_dead_letter(self, source: str, fact_id: str) -> None:
        """Lets the service `source` react to a fact again."""
        await self.call("POST", f"/platform/dead-letters/{part(source)}/{part(fact_id)}/replay", NOTHING)

    async def collection(self) -> upkeep.Collection:
        """What the last collection removed, and why."""
        return await self.call("GET", "/platform/collection", upkeep.Collection)

    async def collect(self, *, dry_run: bool = False) -> upkeep.Collection:
        """Removes what nobody needs any more now, or says what would go."""
        query = {"dry_run": str(dry_run).lower()}
        return await self.call("POST", "/platform/collection", upkeep.Collection, params=query)

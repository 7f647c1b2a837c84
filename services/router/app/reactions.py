"""What the router does when something happened elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from services.router.app.ports import Wake, Work, Worlds


@dataclass(frozen=True, slots=True)
class Reactions:
    """The router's reactions, bound to what they change."""

    work: Work
    worlds: Worlds
    wake: Wake

    async def service_deleted(self, service_id: str) -> None:
        """Forgets the service's names and endpoints, and refuses late calls for it."""
        async with self.work():
            await self.worlds.forget(service_id)
        self.wake()

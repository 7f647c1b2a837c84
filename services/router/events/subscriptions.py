"""What the router listens to."""

from __future__ import annotations

from collections.abc import Mapping

from libs.facts import Fact, Handler
from services.router.app.reactions import Reactions
from services.router.events.codec import deleted_service


def project(reactions: Reactions) -> Mapping[str, Handler]:
    """Reactions to project's facts, by subject."""

    async def service_deleted(fact: Fact) -> None:
        await reactions.service_deleted(deleted_service(fact))

    return {"lightrail.project.service.deleted.v1": service_deleted}

"""Facts to and from the wire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libs.facts import Fact, NewFact, Outbox
from libs.protogen.lightrail.project.v1 import events_pb2 as project_events
from libs.protogen.lightrail.router.v1 import events_pb2
from services.router.domain.facts import EndpointsPublished, NameClaimed, RouterFact

NAME_CLAIMED: Final = "lightrail.router.name.claimed.v1"
ENDPOINTS_PUBLISHED: Final = "lightrail.router.endpoints.published.v1"


def encode(fact: RouterFact) -> NewFact:
    """The fact as it is recorded."""
    match fact:
        case NameClaimed():
            claimed = events_pb2.NameClaimed(
                service_id=fact.service_id,
                environment_id=fact.environment_id,
                workspace_id=fact.workspace_id,
                host=fact.host,
            )
            return NewFact(NAME_CLAIMED, fact.workspace_id, "", claimed.SerializeToString())
        case EndpointsPublished():
            published = events_pb2.EndpointsPublished(
                service_id=fact.service_id,
                environment_id=fact.environment_id,
                version=fact.version,
                count=fact.count,
            )
            return NewFact(ENDPOINTS_PUBLISHED, fact.workspace_id, fact.deployment_id, published.SerializeToString())


def deleted_service(fact: Fact) -> str:
    """The id in project's service.deleted."""
    return project_events.ServiceDeleted.FromString(fact.payload).service_id


@dataclass(frozen=True, slots=True)
class RecordedFacts:
    """Records the router's facts in its outbox."""

    outbox: Outbox

    async def record(self, fact: RouterFact) -> None:
        """Writes a fact in the running transaction."""
        await self.outbox.record(encode(fact))

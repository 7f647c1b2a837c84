"""FactsService: every service's feed and dead letters, over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC

import grpc

from libs.db import Database
from libs.facts.fact import Fact
from libs.facts.follower import Follower, Read
from libs.facts.outbox import Outbox
from libs.kernel.context import Ctx
from libs.kernel.errors import NotFound
from libs.protogen.lightrail.common.v1 import facts_pb2, facts_pb2_grpc
from libs.rpc import Peer


class FactsServicer(facts_pb2_grpc.FactsServiceServicer):
    """Serves the outbox and the dead letters of one service."""

    def __init__(self, db: Database, outbox: Outbox, followers: Mapping[str, Follower]) -> None:
        self._db = db
        self._outbox = outbox
        self._followers = followers

    async def ReadFacts(
        self, request: facts_pb2.ReadFactsRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> facts_pb2.ReadFactsResponse:
        """Facts after a sequence, in order."""
        facts = await self._outbox.read(request.after, request.limit, request.correlation_id)
        return facts_pb2.ReadFactsResponse(facts=[encode(fact) for fact in facts], head=await self._outbox.head())

    async def ListDeadLetters(
        self, request: facts_pb2.ListDeadLettersRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> facts_pb2.ListDeadLettersResponse:
        """Facts this service could not react to, oldest first."""
        rows = await self._db.fetch("select * from dead_letters order by died_at")
        response = facts_pb2.ListDeadLettersResponse()
        for row in rows:
            fields = {name: row[name] for name in Fact.__dataclass_fields__ if name != "id"}
            letter = response.dead_letters.add(reason=row["reason"], attempts=row["attempts"])
            letter.fact.CopyFrom(encode(Fact(id=row["fact_id"], **fields)))
            letter.died_at.FromDatetime(row["died_at"])
        return response

    async def ReplayDeadLetter(
        self, request: facts_pb2.ReplayDeadLetterRequest, context: grpc.aio.ServicerContext[object, object]
    ) -> facts_pb2.ReplayDeadLetterResponse:
        """Reacts again; the letter leaves the list when that succeeds."""
        source = await self._db.fetchval("select source from dead_letters where fact_id = $1", request.fact_id)
        if source not in self._followers:
            raise NotFound(f"There is no dead letter {request.fact_id} here.", field="fact_id")
        await self._followers[source].replay(request.fact_id)
        return facts_pb2.ReplayDeadLetterResponse()


def servicer(
    db: Database, outbox: Outbox, followers: Mapping[str, Follower]
) -> tuple[Callable[[FactsServicer, grpc.aio.Server], None], FactsServicer]:
    """The servicer with the function that adds it to a server."""
    return facts_pb2_grpc.add_FactsServiceServicer_to_server, FactsServicer(db, outbox, followers)


def encode(fact: Fact) -> facts_pb2.Fact:
    """The fact as it goes over the wire."""
    wire = facts_pb2.Fact(
        id=fact.id,
        source=fact.source,
        sequence=fact.sequence,
        subject=fact.subject,
        workspace_id=fact.workspace_id,
        correlation_id=fact.correlation_id,
        payload=fact.payload,
        traceparent=fact.traceparent,
    )
    wire.recorded_at.FromDatetime(fact.recorded_at)
    return wire


def decode(wire: facts_pb2.Fact) -> Fact:
    """The fact that came over the wire."""
    return Fact(
        id=wire.id,
        source=wire.source,
        sequence=wire.sequence,
        subject=wire.subject,
        workspace_id=wire.workspace_id,
        correlation_id=wire.correlation_id,
        recorded_at=wire.recorded_at.ToDatetime().replace(tzinfo=UTC),
        payload=wire.payload,
        traceparent=wire.traceparent,
    )


def reader(peer: Peer, ctx: Ctx) -> Read:
    """Reads another service's feed over gRPC."""
    stub = facts_pb2_grpc.FactsServiceStub(peer.channel)

    async def read(after: int) -> list[Fact]:
        response = await peer.call(stub.ReadFacts, facts_pb2.ReadFactsRequest(after=after), ctx)
        return [decode(wire) for wire in response.facts]

    return read

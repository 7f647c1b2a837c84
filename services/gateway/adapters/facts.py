"""Every service's own record of what happened, over gRPC."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC

from libs.facts import Fact
from libs.facts.servicer import decode as from_wire
from libs.kernel.context import Ctx, platform
from libs.protogen.lightrail.common.v1 import facts_pb2, facts_pb2_grpc
from libs.rpc import Peer
from services.gateway.app.ports import DeadLetter, Event


class PeerFactSources:
    """Asks each service's FactsService."""

    def __init__(self, peers: Mapping[str, Peer], decode: Callable[[Fact], Event]) -> None:
        self._peers = peers
        self._stubs = {name: facts_pb2_grpc.FactsServiceStub(peer.channel) for name, peer in peers.items()}
        self._decode = decode

    @property
    def names(self) -> Sequence[str]:
        """Services that keep facts."""
        return tuple(self._peers)

    async def about(self, source: str, correlation_id: str) -> Sequence[Event]:
        """Facts of one source with this correlation id, in order. Unavailable when the source is away."""
        request = facts_pb2.ReadFactsRequest(correlation_id=correlation_id)
        call = self._stubs[source].ReadFacts
        answer = await self._peers[source].call(call, request, platform("gateway"), timeout=3.0)
        return [self._decode(from_wire(fact)) for fact in answer.facts]

    async def dead_letters(self, service: str, ctx: Ctx) -> Sequence[DeadLetter]:
        """Facts that a service could not react to. Denied unless the caller is an operator."""
        call = self._stubs[service].ListDeadLetters
        answer = await self._peers[service].call(call, facts_pb2.ListDeadLettersRequest(), ctx, timeout=3.0)
        return [
            DeadLetter(
                service=service,
                event=self._decode(from_wire(letter.fact)),
                reason=letter.reason,
                attempts=letter.attempts,
                died_at=letter.died_at.ToDatetime(tzinfo=UTC),
            )
            for letter in answer.dead_letters
        ]

    async def replay(self, service: str, fact_id: str, ctx: Ctx) -> None:
        """Lets a service react again. NotFound when it has no such letter."""
        request = facts_pb2.ReplayDeadLetterRequest(fact_id=fact_id)
        await self._peers[service].call(self._stubs[service].ReplayDeadLetter, request, ctx, timeout=30.0)

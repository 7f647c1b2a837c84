"""Tells every connected Envoy what to serve: the server side of delta ADS, and the record of who has accepted what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from prometheus_client import Counter, Gauge, Histogram

from libs.kernel.clock import Clock
from libs.kernel.errors import Conflict, NotFound, Unavailable
from libs.protogen.envoy.service.discovery.v3 import ads_pb2_grpc
from libs.protogen.envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    Resource,
)
from libs.telemetry import get_logger
from services.router.adapters import door
from services.router.adapters.xds import Translator, route_table
from services.router.domain.lane import Batch
from services.router.domain.resources import Kind, Snapshot, assembled
from services.router.domain.session import ROUTES, Serving, Session
from services.router.domain.world import Key, World

_TYPES: Final = {
    Kind.CLUSTERS: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
    Kind.ENDPOINTS: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    Kind.LISTENERS: "type.googleapis.com/envoy.config.listener.v3.Listener",
    Kind.ROUTES: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
}
_KINDS: Final = {url: kind for kind, url in _TYPES.items()}
# A refused resource is offered again after this: its reason may have passed.
FORGIVE_SECONDS: Final = 15.0
STOP_SECONDS: Final = 0.2
# Names shown in a log line about many.
_SHOWN: Final = 5
_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),
    # An edge lists what it holds when it comes back.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # An edge that vanished without a word is noticed within this.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)

CONNECTED: Final = Gauge("lightrail_router_edges", "Edges connected now.")
ANSWERS: Final = Counter("lightrail_router_edge_answers_total", "What edges said to updates.", ["kind", "answer"])
ROUND_TRIP: Final = Histogram(
    "lightrail_router_edge_seconds",
    "From telling an edge to its answer.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)


@dataclass(slots=True, eq=False)
class _Stream:
    """One connected edge."""

    number: int
    session: Session = field(default_factory=Session)
    node: str = ""
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    # Nonce -> what it was about and when it was told.
    told: dict[str, tuple[Kind, float]] = field(default_factory=dict)
    nonces: count[int] = field(default_factory=lambda: count(1))


class Edges(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    """Every connected edge, and what it has. Speaks gRPC; decides nothing that `Session` does not."""

    def __init__(self, translator: Translator, clock: Clock) -> None:
        self._translator = translator
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._streams: set[_Stream] = set()
        self._numbers = count(1)
        self._moved = asyncio.Condition()
        self._log = get_logger("router/edges")

    @property
    def revision(self) -> int:
        """The revision every edge is being brought to; -1: nothing that came from the database yet."""
        return -1 if self._snapshot is None or self._snapshot.provisional else self._snapshot.revision

    async def put(self, world: World, *, provisional: bool = False) -> None:
        """Makes `world` what every edge should serve. `provisional`: only for edges that have nothing yet."""
        if provisional and self._snapshot is not None and not self._snapshot.provisional:
            return
        self._snapshot = self._translator.snapshot(world, provisional=provisional)
        for stream in self._streams:
            stream.woken.set()
        await self._tell_waiters()

    async def until_serving(self, key: Key, revision: int, seconds: float) -> None:
        """Returns once every connected edge serves the app as it is at `revision`, or later.

        Unavailable when that takes longer than `seconds`, or no edge is connected; Conflict when an edge refuses it;
        NotFound when the app left the world meanwhile.
        """
        try:
            async with asyncio.timeout(seconds), self._moved:
                await self._moved.wait_for(lambda: self.serving(key, revision))
        except TimeoutError:
            raise self._too_late(key, revision, seconds) from None

    def serving(self, key: Key, revision: int) -> bool:
        """Whether every connected edge, and at least one, serves the app as it is at `revision` or later.

        Conflict and NotFound as above.
        """
        snapshot, edges = self._snapshot, self._edges()
        if snapshot is None or snapshot.provisional or snapshot.revision < revision or not edges:
            return False
        served = True
        for stream in edges:
            state, reason = stream.session.serving(snapshot, key)
            if state is Serving.REFUSED:
                raise Conflict(
                    f"The edge {stream.node} refuses what was published: {reason}",
                    hint="The last good endpoints stay in place there.",
                )
            if state is Serving.GONE:
                raise NotFound(f"Service {key.service_id} has no endpoints any more in {key.environment_id}.")
            served = served and state is Serving.YES
        return served

    async def DeltaAggregatedResources(  # type: ignore[override]  # it writes by itself: telling and listening side by side
        self,
        request_iterator: AsyncIterator[DeltaDiscoveryRequest],
        context: grpc.aio.ServicerContext[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
    ) -> None:
        """Serves one edge until it leaves."""
        stream = _Stream(next(self._numbers))
        self._streams.add(stream)
        CONNECTED.inc()
        try:
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(self._tell(stream, context))
                forgiving = group.create_task(self._forgive(stream))
                async for request in request_iterator:
                    self._hear(stream, request)
                    await self._tell_waiters()
                telling.cancel()
                forgiving.cancel()
        finally:
            self._streams.discard(stream)
            CONNECTED.dec()
            self._log.info("edge.left", edge=stream.node, stream=stream.number)

    def _hear(self, stream: _Stream, request: DeltaDiscoveryRequest) -> None:
        if request.HasField("node") and not stream.node:
            stream.node = request.node.id
            self._log.info("edge.came", edge=stream.node, stream=stream.number)
        kind = _KINDS.get(request.type_url)
        if kind is None:
            self._log.warning("edge.asked_for_unknown_type", edge=stream.node, type=request.type_url)
            return
        if request.response_nonce:
            self._take_answer(stream, kind, request)
        if kind not in stream.session.asked or request.resource_names_subscribe or request.resource_names_unsubscribe:
            stream.session.hear(
                kind,
                subscribe=list(request.resource_names_subscribe),
                unsubscribe=list(request.resource_names_unsubscribe),
                initial=dict(request.initial_resource_versions),
            )
        stream.woken.set()

    def _take_answer(self, stream: _Stream, kind: Kind, request: DeltaDiscoveryRequest) -> None:
        told = stream.told.pop(request.response_nonce, None)
        if told is None:
            return
        ROUND_TRIP.labels(kind.value).observe(self._clock.monotonic() - told[1])
        if not request.HasField("error_detail"):
            ANSWERS.labels(kind.value, "accepted").inc()
            stream.session.answer(kind, None)
            return
        ANSWERS.labels(kind.value, "refused").inc()
        batch = stream.session.answer(kind, request.error_detail.message)
        self._log.error(
            "edge.refused",
            edge=stream.node,
            kind=kind.value,
            reason=request.error_detail.message,
            names=sorted(batch.news)[:_SHOWN],
            count=len(batch.news),
        )

    async def _tell(
        self,
        stream: _Stream,
        context: grpc.aio.ServicerContext[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
    ) -> None:
        while True:
            await stream.woken.wait()
            stream.woken.clear()
            if self._snapshot is None:
                continue
            for kind, batch in list(stream.session.proposals(self._snapshot)):
                nonce = f"{stream.number}.{next(stream.nonces)}"
                stream.told[nonce] = (kind, self._clock.monotonic())
                await context.write(_response(stream.session, kind, batch, nonce, self._snapshot.revision))
            # A resumed edge may have everything already: nothing is told, and that is news to those who wait.
            await self._tell_waiters()

    async def _forgive(self, stream: _Stream) -> None:
        while True:
            await self._clock.sleep(FORGIVE_SECONDS)
            if any(lane.refused for lane in stream.session.lanes.values()):
                stream.session.forgive()
                stream.woken.set()

    async def _tell_waiters(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _edges(self) -> list[_Stream]:
        """The newest stream of each edge; one that asked for nothing is none."""
        asking = sorted((one for one in self._streams if one.session.asked), key=lambda one: one.number)
        return list({stream.node: stream for stream in asking}.values())

    def _too_late(self, key: Key, revision: int, seconds: float) -> Unavailable:
        edges = self._edges()
        if not edges:
            return Unavailable("No edge is connected, so nothing can be published.", hint="Ask again in a moment.")
        snapshot = self._snapshot
        if snapshot is None or snapshot.provisional or snapshot.revision < revision:
            return Unavailable("The router has not read its database yet.", hint="Ask again in a moment.")
        deaf = {
            stream.node: refusal.reason
            for stream in edges
            for refusal in stream.session.lanes[Kind.LISTENERS].refused.values()
        }
        if deaf:
            edge, reason = next(iter(sorted(deaf.items())))
            return Unavailable(f"The edge {edge} cannot listen: {reason}", hint="It tries again every few seconds.")
        slow = sorted(stream.node for stream in edges if stream.session.serving(snapshot, key)[0] is not Serving.YES)
        return Unavailable(
            f"The edge {', '.join(slow) or 'that just left'} has not confirmed within {seconds:.1f} s.",
            hint="Ask again in a moment.",
        )


def _response(session: Session, kind: Kind, batch: Batch, nonce: str, revision: int) -> DeltaDiscoveryResponse:
    url = _TYPES[kind]
    removed = batch.gone
    if kind is Kind.ROUTES:
        parts = session.table(batch)
        resources = [_wire(ROUTES, assembled(parts), url, route_table(parts))]
        removed = ()
    else:
        resources = [_wire(name, found.version, url, found.body) for name, found in batch.news.items()]
    return DeltaDiscoveryResponse(
        system_version_info=str(revision), type_url=url, nonce=nonce, resources=resources, removed_resources=removed
    )


def _wire(name: str, version: str, url: str, body: bytes) -> Resource:
    return Resource(name=name, version=version, resource=AnyMessage(type_url=url, value=body))


@asynccontextmanager
async def serving(edges: Edges, address: str) -> AsyncIterator[int]:
    """Serves `edges` on `address`, host:port or unix:/path, and yields the port; of a path, 1.

    Unavailable when the address cannot be had.
    """
    server = _server(edges)
    port = await door.listen(server, address)
    await server.start()
    try:
        yield port
    finally:
        # Edges keep what they have and come back; there is nothing to wait for.
        await server.stop(STOP_SECONDS)


async def standing_in(edges: Edges, address: str, clock: Clock) -> bool:
    """Serves `edges` on unix:/path until another server takes the path; whether there was need.

    Invalid and Unavailable as `door.stand_in`.
    """
    server = _server(edges)
    try:
        return await door.stand_in(server, address, clock)
    finally:
        # At once: until they are let go, edges do not turn to the one who is there now.
        await server.stop(None)


def _server(edges: Edges) -> grpc.aio.Server:
    server = grpc.aio.server(options=_OPTIONS)
    ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(edges, server)
    return server

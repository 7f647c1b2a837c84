"""What to tell one edge next, and whether an app is served there: clusters first, routes when their cluster is warm."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from services.router.domain.lane import Batch, Lane
from services.router.domain.resources import Kind, Resource, Snapshot, assembled
from services.router.domain.world import Key

# The one route table; its parts are the sites.
ROUTES: Final = "edge"


class Serving(Enum):
    """How far an edge is with an app."""

    YES = "yes"
    NOT_YET = "not yet"
    REFUSED = "refused"
    # The app left the world.
    GONE = "gone"


@dataclass(slots=True)
class Session:
    """One stream with one edge. Told what the edge says, tells what to answer; knows no protocol."""

    lanes: dict[Kind, Lane] = field(
        default_factory=lambda: {kind: Lane(limit=1 << 30) if kind is Kind.ROUTES else Lane() for kind in Kind}
    )
    asked: set[Kind] = field(default_factory=set)
    # The edge brought configuration from an earlier stream.
    resumed: bool = False
    # It said that it has no listener: whatever it brought, it serves nobody.
    _idle: bool = False
    _wanted_endpoints: set[str] = field(default_factory=set)
    # The edge's route table is one that this session knows the parts of.
    _routes_known: bool = False
    _routes_version: str = ""
    _owed: set[Kind] = field(default_factory=set)

    def hear(
        self,
        kind: Kind,
        *,
        subscribe: Collection[str] = (),
        unsubscribe: Collection[str] = (),
        initial: Mapping[str, str] | None = None,
    ) -> None:
        """Takes what the edge asks for; `initial` names what it holds, on the first request of a kind."""
        first = kind not in self.asked
        self.asked.add(kind)
        if kind is Kind.ENDPOINTS:
            self._follow(subscribe, unsubscribe)
        elif first or subscribe:
            self._owed.add(kind)
        if kind is Kind.LISTENERS and first:
            self._idle = not initial
        if initial:
            self._resume(kind, initial)

    def answer(self, kind: Kind, reason: str | None) -> Batch:
        """Takes the edge's answer to what is under way: `reason` None is a yes. Returns what it was about."""
        lane = self.lanes[kind]
        if reason is not None:
            return lane.refuse(reason)
        if kind is Kind.ROUTES:
            self._routes_known = True
        return lane.accept()

    def forgive(self) -> None:
        """Lets everything refused be tried again: a port that was taken may be free by now."""
        for lane in self.lanes.values():
            lane.refused.clear()

    def proposals(self, snapshot: Snapshot) -> Iterator[tuple[Kind, Batch]]:
        """Yields what may be told now, in the order to tell it."""
        if self._is_left_alone(snapshot):
            return
        for kind in (Kind.CLUSTERS, Kind.ENDPOINTS, Kind.LISTENERS, Kind.ROUTES):
            if kind in self.asked and (batch := self._propose(kind, snapshot)) is not None:
                self._owed.discard(kind)
                yield kind, batch

    def table(self, batch: Batch) -> dict[str, Resource]:
        """Returns all parts of the route table as it is once `batch` is in."""
        parts = {name: part for name, part in self.lanes[Kind.ROUTES].held.items() if name not in batch.gone}
        parts.update(batch.news)
        return parts

    def serving(self, snapshot: Snapshot, key: Key) -> tuple[Serving, str]:
        """Tells whether the edge serves the app just as the snapshot has it; when it refused, why."""
        place = snapshot.places.get(key)
        if place is None:
            return Serving.GONE, ""
        if snapshot.provisional and self.resumed:
            return Serving.NOT_YET, ""
        wanted: list[tuple[Kind, str, Resource]] = []
        if place.cluster:
            wanted.append((Kind.CLUSTERS, place.cluster, snapshot.clusters[place.cluster]))
            wanted.append((Kind.ENDPOINTS, place.cluster, snapshot.endpoints[place.cluster]))
        if place.site:
            wanted.append((Kind.ROUTES, place.site, snapshot.sites[place.site].ready))
        listening = self.lanes[Kind.LISTENERS].held
        waiting = any(name not in listening for name in snapshot.listeners)
        for kind, name, resource in wanted:
            lane = self.lanes[kind]
            refusal = lane.refused.get(name)
            if refusal is not None and refusal.version == resource.version:
                return Serving.REFUSED, refusal.reason
            held = lane.holding(name)
            waiting = waiting or held is None or held.version != resource.version
        return (Serving.NOT_YET if waiting else Serving.YES), ""

    def _is_left_alone(self, snapshot: Snapshot) -> bool:
        """Whether the edge has something that may be newer than this. One whose teacher died half-way does not."""
        return snapshot.provisional and self.resumed and not self._idle

    def _follow(self, subscribe: Collection[str], unsubscribe: Collection[str]) -> None:
        for name in subscribe:
            self._wanted_endpoints.add(name)
            self.lanes[Kind.ENDPOINTS].forget(name)
        for name in unsubscribe:
            self._wanted_endpoints.discard(name)
            self.lanes[Kind.ENDPOINTS].forget(name)

    def _resume(self, kind: Kind, initial: Mapping[str, str]) -> None:
        self.resumed = True
        self._owed.discard(kind)
        if kind is Kind.ROUTES:
            self._routes_version = initial.get(ROUTES, "")
        else:
            self.lanes[kind].held = {name: Resource(version) for name, version in initial.items()}
        if kind is Kind.ENDPOINTS and (flying := self.lanes[Kind.CLUSTERS].flying) is not None:
            self._warm_up_anew(flying)

    def _propose(self, kind: Kind, snapshot: Snapshot) -> Batch | None:
        lane = self.lanes[kind]
        owed = kind in self._owed
        if kind is Kind.CLUSTERS:
            batch = lane.propose(snapshot.clusters, keep=self._in_use(), owed=owed)
            if batch is not None:
                self._warm_up_anew(batch)
            return batch
        if kind is Kind.LISTENERS:
            return lane.propose(snapshot.listeners, owed=owed)
        if kind is Kind.ENDPOINTS:
            names = self._wanted_endpoints
            if len(names) < len(snapshot.endpoints):
                target = {name: snapshot.endpoints[name] for name in names if name in snapshot.endpoints}
            else:
                target = {name: found for name, found in snapshot.endpoints.items() if name in names}
            # What left the world leaves the edge with its cluster. But a cluster that still waits for what is not
            # there any more must be told so: until all are warm, the edge takes no other change of clusters.
            return lane.propose(target, keep=lane.held, asked=names)
        return self._propose_routes(lane, snapshot, owed=owed)

    def _warm_up_anew(self, clusters: Batch) -> None:
        """Lets the endpoints of changed clusters go right behind them.

        A changed cluster waits for its endpoints, which the edge does not ask for again, and the edge answers about
        clusters only when all of them are warm.
        """
        for name in clusters.news:
            self.lanes[Kind.ENDPOINTS].forget(name)

    def _propose_routes(self, lane: Lane, snapshot: Snapshot, *, owed: bool) -> Batch | None:
        if not self._routes_known and not self._settled(snapshot):
            return None
        allowed = self._allowed(lane, snapshot)
        if not self._routes_known and self._routes_version == assembled(allowed):
            lane.held = dict(allowed)
            self._routes_known = True
        return lane.propose(allowed, owed=owed)

    def _settled(self, snapshot: Snapshot) -> bool:
        """Whether every cluster is either warm or known to stay cold: the first route table waits for that."""
        clusters, endpoints = self.lanes[Kind.CLUSTERS], self.lanes[Kind.ENDPOINTS]
        return all(
            name in clusters.refused
            or (name in clusters.held and (name not in snapshot.endpoints or endpoints.settled(name)))
            for name in snapshot.clusters
        )

    def _warm(self, cluster: str, snapshot: Snapshot) -> bool:
        if self.lanes[Kind.CLUSTERS].holding(cluster) is None:
            return False
        return cluster not in snapshot.endpoints or self.lanes[Kind.ENDPOINTS].holding(cluster) is not None

    def _allowed(self, lane: Lane, snapshot: Snapshot) -> dict[str, Resource]:
        allowed = {}
        for name, site in snapshot.sites.items():
            if not site.ready.needs or self._warm(site.ready.needs, snapshot):
                allowed[name] = site.ready
            else:
                allowed[name] = lane.held.get(name, site.waiting)
        return allowed

    def _in_use(self) -> Collection[str]:
        """Clusters that the edge's routes may still lead to."""
        lane = self.lanes[Kind.ROUTES]
        if not self._routes_known:
            return self.lanes[Kind.CLUSTERS].held
        used = {part.needs for part in lane.held.values()}
        if lane.flying is not None:
            used.update(part.needs for part in lane.flying.news.values())
        return used

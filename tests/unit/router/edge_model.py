"""An edge as Envoy is one, reduced to what matters: it takes what is good of a batch, and tells when some was bad."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from services.router.domain.lane import Batch
from services.router.domain.resources import Kind, Place, Resource, Site, Snapshot, assembled
from services.router.domain.session import ROUTES, Session
from services.router.domain.world import Key

GATEWAY = "gateway"


def snapshot(apps: dict[str, tuple[int, bool]], revision: int = 1) -> Snapshot:
    """A snapshot of apps: name -> (version of its endpoints, whether it runs)."""
    clusters = {GATEWAY: Resource("g")} | {name: Resource("c") for name in apps}
    endpoints = {name: Resource(f"e{version}") for name, (version, _) in apps.items()}
    default = Resource("*", needs=GATEWAY)
    sites = {"*": Site(default, default)}
    for name, (_, running) in apps.items():
        waiting = Resource("notice")
        sites[name] = Site(Resource("to", needs=name) if running else waiting, waiting)
    places = {Key(name, ""): Place(name, name) for name in apps}
    return Snapshot(revision, {"listener": Resource("l")}, clusters, endpoints, sites, places)


@dataclass
class Edge:
    """One edge and its stream. `bad` are (name, version) it refuses."""

    session: Session = field(default_factory=Session)
    bad: Collection[tuple[str, str]] = ()
    clusters: dict[str, str] = field(default_factory=dict)
    endpoints: dict[str, str] = field(default_factory=dict)
    listeners: dict[str, str] = field(default_factory=dict)
    routes: dict[str, Resource] = field(default_factory=dict)
    # Clusters that wait for endpoints since they were added or changed.
    warming: set[str] = field(default_factory=set)
    batches: int = 0
    _unsaid: list[str | None] = field(default_factory=list)

    def connect(self) -> None:
        """Opens a stream, telling what it holds."""
        self.session = Session()
        self._unsaid.clear()
        self.session.hear(Kind.CLUSTERS, initial=self.clusters)
        self.session.hear(Kind.ENDPOINTS, subscribe=list(self.clusters_with_endpoints()), initial=self.endpoints)
        self.session.hear(Kind.LISTENERS, initial=self.listeners)
        if self.listeners:
            held = {ROUTES: assembled(self.routes)} if self.routes else {}
            self.session.hear(Kind.ROUTES, subscribe=[ROUTES], initial=held)

    def clusters_with_endpoints(self) -> list[str]:
        return [name for name in self.clusters if name != GATEWAY]

    def settle(self, target: Snapshot, most: int = 1_000) -> None:
        """Talks until nothing more is said."""
        for _ in range(most):
            said = list(self.session.proposals(target))
            if not said:
                assert not self._unsaid, f"these wait for their endpoints for ever: {self.warming}"
                return
            for kind, batch in said:
                self.batches += 1
                self.take(kind, batch)
        raise AssertionError("the session never stops talking")

    def take(self, kind: Kind, batch: Batch) -> None:
        wrong = [name for name, resource in batch.news.items() if (name, resource.version) in self.bad]
        good = {name: resource for name, resource in batch.news.items() if name not in wrong}
        if kind is Kind.CLUSTERS:
            self._take_clusters(good, batch.gone)
        elif kind is Kind.ENDPOINTS:
            # What it does not ask for any more, it ignores.
            self.endpoints.update({name: resource.version for name, resource in good.items() if name in self.clusters})
            # Envoy goes on without endpoints when it must refuse them.
            self.warming.difference_update(batch.news, batch.gone)
        elif kind is Kind.LISTENERS:
            self.listeners.update({name: resource.version for name, resource in good.items()})
        elif not wrong:
            self._take_routes(self.session.table(batch))
        self._answer(kind, f"bad: {', '.join(wrong)}" if wrong else None)
        if kind is Kind.CLUSTERS:
            new = [name for name in good if name != GATEWAY and name not in self.endpoints]
            lost = [name for name in batch.gone if name in self.endpoints]
            for name in lost:
                del self.endpoints[name]
            if new or lost:
                self.session.hear(Kind.ENDPOINTS, subscribe=new, unsubscribe=lost)
        if kind is Kind.LISTENERS and not wrong and Kind.ROUTES not in self.session.asked:
            self.session.hear(Kind.ROUTES, subscribe=[ROUTES])

    def _answer(self, kind: Kind, reason: str | None) -> None:
        """Says yes or no; about clusters only when all of them are warm, as Envoy does."""
        if kind is Kind.CLUSTERS:
            self._unsaid.append(reason)
        else:
            self.session.answer(kind, reason)
        if not self.warming:
            for late in self._unsaid:
                self.session.answer(Kind.CLUSTERS, late)
            self._unsaid.clear()

    def _take_clusters(self, good: dict[str, Resource], gone: Collection[str]) -> None:
        for name, resource in good.items():
            if self.clusters.get(name) != resource.version and name != GATEWAY:
                self.warming.add(name)
            self.clusters[name] = resource.version
        for name in gone:
            assert all(part.needs != name for part in self.routes.values()), f"{name} left while routes lead there"
            self.clusters.pop(name, None)

    def _take_routes(self, table: dict[str, Resource]) -> None:
        for name, part in table.items():
            if part.needs and part != self.routes.get(name):
                assert part.needs in self.clusters, f"{name} is shown before its cluster"
                assert part.needs == GATEWAY or part.needs in self.endpoints, f"{name} is shown before its endpoints"
        self.routes = table

"""Worlds to snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from libs.kernel.secret import Secret
from libs.protogen.envoy.config.route.v3.route_components_pb2 import VirtualHost
from libs.protogen.envoy.config.route.v3.route_pb2 import RouteConfiguration
from services.router.adapters.xds.clusters import GATEWAY, app_cluster, assignment, cluster_name, gateway_cluster
from services.router.adapters.xds.listener import LISTENER, listener
from services.router.adapters.xds.routes import forward, notice, trusted
from services.router.domain.resources import Place, Resource, Site, Snapshot, fingerprint
from services.router.domain.world import App, Key, Spot, World

# The site for every host that is no app's.
ANY_HOST: Final = "*"
_NO_TOKEN: Final = Secret("")


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the edge listens, and where everything goes that is no app's."""

    edge: Spot
    # An IP address or a host name.
    gateway: Spot
    # What the edge shows the gateway; empty: nothing.
    token: Secret[str] = _NO_TOKEN
    # What host names of apps end in.
    base_domain: str = "localhost"


@dataclass(frozen=True, slots=True)
class _Parts:
    cluster: Resource | None
    endpoints: Resource | None
    site: Site | None


class Translator:
    """Turns worlds into snapshots; remembers the parts of the last one, because most are the same in the next."""

    def __init__(self, shape: Shape) -> None:
        self._last: dict[App, _Parts] = {}
        self._listener = _resource(listener(shape.edge, shape.base_domain))
        self._gateway = _resource(gateway_cluster(shape.gateway))
        self._default = _part(trusted(forward(ANY_HOST, GATEWAY), shape.token), needs=GATEWAY)

    def snapshot(self, world: World, *, provisional: bool = False) -> Snapshot:
        """Returns what every edge should hold of `world`."""
        parts = {app: self._last.get(app) or _translate(app) for app in world.apps}
        self._last = parts
        clusters = {GATEWAY: self._gateway}
        endpoints: dict[str, Resource] = {}
        sites = {ANY_HOST: Site(self._default, self._default)}
        places: dict[Key, Place] = {}
        for app, found in parts.items():
            name = ""
            if found.cluster is not None and found.endpoints is not None:
                name = cluster_name(app.key)
                clusters[name] = found.cluster
                endpoints[name] = found.endpoints
            if found.site is not None:
                sites[app.host] = found.site
            places[app.key] = Place(name, app.host)
        return Snapshot(
            revision=world.revision,
            listeners={LISTENER: self._listener},
            clusters=clusters,
            endpoints=endpoints,
            sites=sites,
            places=places,
            provisional=provisional,
        )


def _translate(app: App) -> _Parts:
    name = cluster_name(app.key)
    site = None
    if app.host:
        waiting = _part(notice(app.host))
        site = Site(_part(forward(app.host, name), needs=name) if app.running else waiting, waiting)
    if app.endpoints is None:
        return _Parts(None, None, site)
    return _Parts(_resource(app_cluster(name)), _resource(assignment(name, app.endpoints)), site)


def _resource(message: Message) -> Resource:
    body = message.SerializeToString(deterministic=True)
    return Resource(fingerprint(body), body)


def _part(host: VirtualHost, *, needs: str = "") -> Resource:
    """One site, encoded as a route table that holds nothing else."""
    body = RouteConfiguration(virtual_hosts=[host]).SerializeToString(deterministic=True)
    return Resource(fingerprint(body), body, needs)

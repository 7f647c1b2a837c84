"""The world as an edge should see it: which host name leads to which endpoints."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from libs.kernel.errors import Conflict, Invalid

# An old endpoint that is idle stays visible this long, so that whoever drains it reads its zero.
SETTLE: Final = timedelta(seconds=5)
# An edge confirms a change a moment before all of its workers act on it: until then, what left may still get requests.
HEARD: Final = timedelta(milliseconds=300)
# No endpoint finishes requests longer than this: past it, its instance is gone in any case.
LONGEST_DRAIN: Final = timedelta(hours=1)
MOST_ENDPOINTS: Final = 1_000
_LAST_PORT: Final = 65_535


class Key(NamedTuple):
    """A service in an environment."""

    service_id: str
    environment_id: str


class Spot(NamedTuple):
    """Where an endpoint listens."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One instance of a service. `draining_since` set: it gets no new requests and finishes those it holds."""

    instance_id: str
    address: str
    port: int
    draining_since: datetime | None = None

    @property
    def spot(self) -> Spot:
        """Where it listens."""
        return Spot(self.address, self.port)

    @property
    def active(self) -> bool:
        """Whether new requests go there."""
        return self.draining_since is None


@dataclass(frozen=True, slots=True)
class Publication:
    """The endpoints a service has been given. `generation` is the caller's, `version` ours."""

    generation: int
    version: int
    endpoints: tuple[Endpoint, ...]
    # When every edge had confirmed this version; None: not yet.
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Name:
    """A host name and whose it is."""

    service_id: str
    environment_id: str
    workspace_id: str
    host: str


@dataclass(frozen=True, slots=True)
class App:
    """A service in an environment, as an edge sees it. `endpoints` None: none were ever published."""

    key: Key
    host: str = ""
    endpoints: tuple[Endpoint, ...] | None = None

    @property
    def running(self) -> bool:
        """Whether a new request has somewhere to go."""
        return any(endpoint.active for endpoint in self.endpoints or ())


@dataclass(frozen=True, slots=True)
class World:
    """Every app. A later world has a higher revision."""

    revision: int
    apps: tuple[App, ...] = ()


def after(before: World | None, revision: int, changed: Mapping[Key, App | None]) -> World:
    """Returns the world that follows from `before` when these apps changed. None: the whole service is gone."""
    apps = {app.key: app for app in before.apps} if before is not None else {}
    gone = {key.service_id for key, app in changed.items() if app is None}
    if gone:
        apps = {key: app for key, app in apps.items() if key.service_id not in gone}
    apps.update((key, app) for key, app in changed.items() if app is not None)
    return World(revision, tuple(apps[key] for key in sorted(apps)))


def checked(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """Returns the endpoints in a fixed order. Invalid when one is no address and port, or listed twice."""
    found: dict[Spot, Endpoint] = {}
    for endpoint in endpoints:
        try:
            address = str(ipaddress.ip_address(endpoint.address))
        except ValueError:
            raise Invalid(f"“{endpoint.address}” is no IP address.", field="endpoints.address") from None
        if not 0 < endpoint.port <= _LAST_PORT:
            raise Invalid(f"{endpoint.port} is no port.", field="endpoints.port")
        exact = replace(endpoint, address=address)
        if exact.spot in found:
            raise Invalid(f"{address}:{endpoint.port} is listed twice.", field="endpoints")
        found[exact.spot] = exact
    if len(found) > MOST_ENDPOINTS:
        raise Invalid(f"A service has at most {MOST_ENDPOINTS} endpoints.", field="endpoints")
    return tuple(found[spot] for spot in sorted(found))


def publish(
    current: Publication | None, wanted: Sequence[Endpoint], generation: int, now: datetime
) -> Publication | None:
    """Decides what follows when these endpoints are asked for; None: it is so already.

    Those that leave go on draining. Conflict when a later generation was published before.
    The version is the store's to give.
    """
    if current is None:
        return Publication(generation, 0, tuple(wanted))
    if generation < current.generation:
        raise Conflict(
            f"Endpoints of generation {current.generation} are published; generation {generation} came too late.",
            hint="Look at the service again and publish what it has now.",
        )
    spots = {endpoint.spot for endpoint in wanted}
    leaving = tuple(
        replace(endpoint, draining_since=endpoint.draining_since or now)
        for endpoint in current.endpoints
        if endpoint.spot not in spots
    )
    endpoints = tuple(wanted) + leaving
    if set(endpoints) == set(current.endpoints) and generation == current.generation:
        return None
    return Publication(generation, current.version, endpoints)


def departed(publication: Publication, in_flight: Mapping[Spot, int], now: datetime) -> int:
    """Tells how many requests endpoints that left still hold; not none before every worker has heard that they left."""
    confirmed = publication.confirmed_at
    heard = confirmed is not None and now - confirmed >= HEARD
    left = [endpoint.spot for endpoint in publication.endpoints if not endpoint.active]
    return sum(max(in_flight.get(spot, 0), 0 if heard else 1) for spot in left)


def retire(endpoints: Sequence[Endpoint], in_flight: Mapping[Spot, int] | None, now: datetime) -> list[Endpoint]:
    """Tells which draining endpoints may be forgotten. `in_flight` None: nobody could be asked."""
    gone = []
    for endpoint in endpoints:
        if endpoint.draining_since is None:
            continue
        age = now - endpoint.draining_since
        idle = in_flight is not None and in_flight.get(endpoint.spot, 0) == 0
        if age >= LONGEST_DRAIN or (idle and age >= SETTLE):
            gone.append(endpoint)
    return gone

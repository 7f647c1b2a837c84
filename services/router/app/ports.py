"""What the router's use cases need from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from services.router.domain.facts import RouterFact
from services.router.domain.world import Endpoint, Key, Name, Publication, Spot, World


class Work(Protocol):
    """Opens a transaction; inside one that is open already, joins it."""

    def __call__(self) -> AbstractAsyncContextManager[object]:
        """The transaction."""
        ...


class Facts(Protocol):
    """What others are told."""

    async def record(self, fact: RouterFact) -> None:
        """Writes a fact in the running transaction."""
        ...


class Names(Protocol):
    """Host names and whose they are."""

    async def of(self, key: Key) -> Name | None:
        """The name of a service in an environment."""
        ...

    async def claim(self, name: Name) -> bool:
        """Takes the host name, unless another has it; whether it is now this one's."""
        ...

    async def list(self, service_ids: Sequence[str], environment_id: str) -> Sequence[Name]:
        """Names of these services; empty filters match everything."""
        ...


@dataclass(frozen=True, slots=True)
class Unannounced:
    """Endpoints that are published and not yet told of."""

    key: Key
    version: int


class Publications(Protocol):
    """The endpoints of each service."""

    async def of(self, key: Key) -> Publication | None:
        """The publication of an app."""
        ...

    async def save(self, key: Key, publication: Publication, deployment_id: str) -> int:
        """Writes the publication; gives its version, which is the world's new revision."""
        ...

    async def announce(self, key: Key, version: int, at: datetime) -> tuple[str, str, int] | None:
        """Marks this version as confirmed and told of; None: it was already, or a later one is published.

        Gives (workspace id, deployment id, active endpoints).
        """
        ...

    async def unannounced(self) -> Sequence[Unannounced]:
        """What still has to be told."""
        ...

    async def draining(self) -> Mapping[Key, Sequence[Endpoint]]:
        """Endpoints that only finish what they hold."""
        ...

    async def drop(self, key: Key, endpoints: Sequence[Endpoint]) -> None:
        """Deletes these endpoints as far as they still drain; the version stays, for nothing is published."""
        ...


class Worlds(Protocol):
    """Everything at once, as an edge should see it."""

    async def revision(self) -> int:
        """How often the world has changed."""
        ...

    async def load(self, since: World | None) -> World:
        """The world now; `since`, an earlier one, makes that cheaper."""
        ...

    async def hold(self, service_id: str) -> bool:
        """Keeps everyone else from changing the service until this transaction ends; whether it is deleted."""
        ...

    async def forget(self, service_id: str) -> None:
        """Deletes a service's names and endpoints, for good."""
        ...


class Edges(Protocol):
    """Every connected edge."""

    @property
    def revision(self) -> int:
        """The revision of the world that edges are being brought to; -1: none from the database yet."""
        ...

    async def put(self, world: World, *, provisional: bool = False) -> None:
        """Makes this world what edges should serve."""
        ...

    def serving(self, key: Key, revision: int) -> bool:
        """Whether every edge, and at least one, serves the app as it is at `revision`. Conflict when one refuses."""
        ...

    async def until_serving(self, key: Key, revision: int, seconds: float) -> None:
        """Returns once `serving` is true. Unavailable when that takes longer."""
        ...


@dataclass(frozen=True, slots=True)
class Sample:
    """What went through the edge for one app, in all, since the edge started."""

    key: Key
    egress_bytes: int
    requests: int


@dataclass(frozen=True, slots=True)
class Traffic:
    """The samples of one run of the edge."""

    epoch: str
    samples: tuple[Sample, ...]


class Gauges(Protocol):
    """The edge's own counters."""

    async def in_flight(self, key: Key) -> Mapping[Spot, int]:
        """Requests under way at each endpoint of the app. Unavailable when the edge does not answer."""
        ...

    async def traffic(self) -> Traffic:
        """Bytes and requests of every app. Unavailable when the edge does not answer."""
        ...


class Memory(Protocol):
    """The last world, kept where it can be read without a database."""

    async def remember(self, world: World) -> bool:
        """Keeps the world in place of the one before; whether it is kept. Not kept: neither is the one before."""
        ...

    async def recall(self) -> World | None:
        """The world that was kept; None: none, or none that can be read."""
        ...


class Wake(Protocol):
    """Asks a loop to look now."""

    def __call__(self) -> None:
        """Returns at once."""
        ...

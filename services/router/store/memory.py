"""Names and endpoints in memory, for unit tests: the same promises, gone with the process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass, field, fields, replace
from datetime import datetime

from services.router.app.ports import Unannounced
from services.router.domain.facts import RouterFact
from services.router.domain.world import App, Endpoint, Key, Name, Publication, World


@dataclass(slots=True)
class Memory:
    """What a database would hold."""

    names: dict[Key, Name] = field(default_factory=dict)
    publications: dict[Key, Publication] = field(default_factory=dict)
    announced: dict[Key, int] = field(default_factory=dict)
    deployments: dict[Key, str] = field(default_factory=dict)
    forgotten: set[str] = field(default_factory=set)
    facts: list[RouterFact] = field(default_factory=list)
    revision: int = 0

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Puts everything back as it was when its body fails."""
        before = {each.name: copy(getattr(self, each.name)) for each in fields(self)}
        try:
            yield
        except BaseException:
            for name, value in before.items():
                setattr(self, name, value)
            raise

    def bump(self) -> int:
        """Counts one more change."""
        self.revision += 1
        return self.revision


class MemoryNames:
    """Host names and whose they are."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def of(self, key: Key) -> Name | None:
        """The name of a service in an environment."""
        return self._memory.names.get(key)

    async def claim(self, name: Name) -> bool:
        """Takes the host name, unless another has it."""
        key = Key(name.service_id, name.environment_id)
        if key in self._memory.names or any(other.host == name.host for other in self._memory.names.values()):
            return False
        self._memory.names[key] = name
        self._memory.bump()
        return True

    async def list(self, service_ids: Sequence[str], environment_id: str) -> Sequence[Name]:
        """Names of these services; empty filters match everything."""
        return sorted(
            (
                name
                for name in self._memory.names.values()
                if (not service_ids or name.service_id in service_ids) and environment_id in ("", name.environment_id)
            ),
            key=lambda name: name.host,
        )


class MemoryPublications:
    """The endpoints of each service."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def of(self, key: Key) -> Publication | None:
        """The publication of an app."""
        return self._memory.publications.get(key)

    async def save(self, key: Key, publication: Publication, deployment_id: str) -> int:
        """Writes the publication; gives its version."""
        version = self._memory.bump()
        self._memory.publications[key] = replace(publication, version=version, confirmed_at=None)
        self._memory.deployments[key] = deployment_id
        return version

    async def announce(self, key: Key, version: int, at: datetime) -> tuple[str, str, int] | None:
        """Marks this version as confirmed and told of."""
        found = self._memory.publications.get(key)
        if found is None or found.version != version or self._memory.announced.get(key, 0) >= version:
            return None
        self._memory.announced[key] = version
        self._memory.publications[key] = replace(found, confirmed_at=at)
        name = self._memory.names.get(key)
        active = sum(endpoint.active for endpoint in found.endpoints)
        return (name.workspace_id if name else "", self._memory.deployments[key], active)

    async def unannounced(self) -> Sequence[Unannounced]:
        """What still has to be told."""
        return [
            Unannounced(key, found.version)
            for key, found in self._memory.publications.items()
            if self._memory.announced.get(key, 0) < found.version
        ]

    async def draining(self) -> Mapping[Key, Sequence[Endpoint]]:
        """Endpoints that only finish what they hold."""
        found = {
            key: [endpoint for endpoint in publication.endpoints if not endpoint.active]
            for key, publication in self._memory.publications.items()
        }
        return {key: endpoints for key, endpoints in found.items() if endpoints}

    async def drop(self, key: Key, endpoints: Sequence[Endpoint]) -> None:
        """Deletes these endpoints as far as they still drain."""
        found = self._memory.publications.get(key)
        if found is None:
            return
        gone = {endpoint for endpoint in endpoints if not endpoint.active}
        left = tuple(
            endpoint
            for endpoint in found.endpoints
            if not any(endpoint.spot == one.spot and endpoint.draining_since == one.draining_since for one in gone)
        )
        if left != found.endpoints:
            self._memory.publications[key] = replace(found, endpoints=left)
            self._memory.bump()


class MemoryWorlds:
    """Everything at once."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def revision(self) -> int:
        """How often the world has changed."""
        return self._memory.revision

    async def load(self, since: World | None) -> World:
        """The world now."""
        del since
        keys = sorted(self._memory.names.keys() | self._memory.publications.keys())
        return World(self._memory.revision, tuple(self._app(key) for key in keys))

    async def hold(self, service_id: str) -> bool:
        """Whether the service is deleted; in one process there is nobody to keep out."""
        return service_id in self._memory.forgotten

    async def forget(self, service_id: str) -> None:
        """Deletes a service's names and endpoints, for good."""
        if service_id in self._memory.forgotten:
            return
        self._memory.forgotten.add(service_id)
        for table in (self._memory.names, self._memory.publications):
            for key in [key for key in table if key.service_id == service_id]:
                del table[key]
        self._memory.bump()

    def _app(self, key: Key) -> App:
        name, found = self._memory.names.get(key), self._memory.publications.get(key)
        endpoints = None if found is None else tuple(sorted(found.endpoints, key=lambda one: one.spot))
        return App(key, name.host if name else "", endpoints)


class MemoryFacts:
    """Facts told so far."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def record(self, fact: RouterFact) -> None:
        """Writes a fact."""
        self._memory.facts.append(fact)

"""Where services' source comes from, and the keys that open it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.kernel.context import Ctx
from libs.kernel.secret import Secret
from services.project.app.finding import Finder
from services.project.app.ports import Work
from services.project.domain.model import Service, Setup
from services.project.domain.source import HostKey, Source, changed, host_keys


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An ssh key: the public half as a line of authorized_keys, the private one in OpenSSH's format."""

    public: str
    private: Secret[str]


class Sources(Protocol):
    """What is set, encrypted where it is secret."""

    async def load(self, setup: Setup) -> Source:
        """The source of a service in an environment; an empty one when nothing is set."""
        ...

    async def save(self, setup: Setup, source: Source) -> None:
        """Takes the place of what was set."""
        ...

    async def clear(self, setup: Setup) -> None:
        """Forgets it; harmless when there is none."""
        ...

    async def key(self, service: Service) -> KeyPair | None:
        """The service's deploy key."""
        ...

    async def add_key(self, service: Service, pair: KeyPair, *, replace: bool) -> None:
        """Keeps a key; one that is there stays unless it is to be replaced."""
        ...

    async def delete_key(self, service: Service) -> None:
        """Forgets the key; harmless when there is none."""
        ...

    async def host_keys(self, service: Service) -> list[HostKey]:
        """Keys that hosts showed first."""
        ...

    async def keep_host_keys(self, service: Service, keys: Sequence[HostKey]) -> None:
        """Remembers keys of hosts of which none is known; those of other hosts stay as they are."""
        ...

    async def forget_host_keys(self, service: Service) -> None:
        """Forgets all of them."""
        ...


class KeyMaker(Protocol):
    """Makes keys."""

    def __call__(self, comment: str) -> KeyPair:
        """A new one."""
        ...


@dataclass(frozen=True, slots=True)
class Seen:
    """A source as people see it; the password is only told of."""

    source: Source
    deploy_key: str
    host_keys: Sequence[HostKey]


@dataclass(frozen=True, slots=True)
class Opened:
    """A source with all its secrets."""

    seen: Seen
    private_key: Secret[str] | None


class SourceUseCases:
    """What can be done with sources."""

    def __init__(self, work: Work, sources: Sources, finder: Finder, make_key: KeyMaker) -> None:
        self._work = work
        self._sources = sources
        self._find = finder
        self._make_key = make_key

    async def get(self, ctx: Ctx, service_id: str, environment_id: str) -> Seen:
        """What is set for a service in an environment."""
        return (await self._open(ctx, service_id, environment_id)).seen

    async def open(self, ctx: Ctx, service_id: str, environment_id: str) -> Opened:
        """The same with its secrets."""
        return await self._open(ctx, service_id, environment_id)

    async def set(self, ctx: Ctx, service_id: str, environment_id: str, given: Source) -> Seen:
        """Sets it. Invalid when an address, a branch or a pattern is none."""
        async with self._work():
            setup = await self._find.setup(ctx, service_id, environment_id, lock=True)
            await self._sources.save(setup, changed(await self._sources.load(setup), given))
        return await self.get(ctx, service_id, environment_id)

    async def clear(self, ctx: Ctx, service_id: str, environment_id: str) -> None:
        """Forgets it, its password too; the deploy key stays."""
        async with self._work():
            await self._sources.clear(await self._find.setup(ctx, service_id, environment_id, lock=True))

    async def create_key(self, ctx: Ctx, service_id: str, *, renew: bool) -> str:
        """The public half of the service's key, which is made when there is none, or when it is to be renewed."""
        async with self._work():
            service = await self._find.service(ctx, service_id)
            pair = await self._sources.key(service)
            if pair is None or renew:
                await self._sources.add_key(service, self._make_key(f"lightrail-{service.name}"), replace=renew)
                pair = await self._sources.key(service)
            return pair.public if pair else ""

    async def delete_key(self, ctx: Ctx, service_id: str) -> None:
        """Forgets the service's key."""
        await self._sources.delete_key(await self._find.service(ctx, service_id))

    async def keep_host_keys(self, ctx: Ctx, service_id: str, lines: Sequence[str]) -> None:
        """Trusts keys of hosts that were asked for the first time."""
        async with self._work():
            service = await self._find.service(ctx, service_id)
            await self._sources.keep_host_keys(service, host_keys(lines))

    async def forget_host_keys(self, ctx: Ctx, service_id: str) -> None:
        """Trusts the next key that a host shows."""
        await self._sources.forget_host_keys(await self._find.service(ctx, service_id))

    async def _open(self, ctx: Ctx, service_id: str, environment_id: str) -> Opened:
        setup = await self._find.setup(ctx, service_id, environment_id)
        source = await self._sources.load(setup)
        pair = await self._sources.key(setup.service)
        known = await self._sources.host_keys(setup.service)
        return Opened(Seen(source, pair.public if pair else "", known), pair.private if pair else None)

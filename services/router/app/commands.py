"""What others ask of the router."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from libs.kernel.clock import Clock
from libs.kernel.context import Ctx
from libs.kernel.errors import Conflict, Invalid, NotFound
from services.router.app.ports import Edges, Facts, Names, Publications, Wake, Work, Worlds
from services.router.domain.facts import EndpointsPublished, NameClaimed
from services.router.domain.names import candidates
from services.router.domain.world import Endpoint, Key, Name, checked, publish

# Ids become parts of names in the edge.
_ID: Final = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
# Seconds to wait for edges when the caller sets no deadline, and kept back to answer within one.
PATIENCE: Final = 10.0
ANSWER_MARGIN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Commands:
    """The router's commands, bound to what they work on."""

    work: Work
    names: Names
    publications: Publications
    worlds: Worlds
    facts: Facts
    edges: Edges
    clock: Clock
    base_domain: str
    wake: Wake

    async def claim_name(
        self, ctx: Ctx, key: Key, workspace_id: str, *, service_name: str, environment_name: str
    ) -> Name:
        """Gives a service in an environment its host name, the same one every time. NotFound when it is deleted."""
        _check(key)
        ctx.allow(workspace_id, environment_id=key.environment_id, what=f"Service {key.service_id}")
        async with self.work():
            deleted = await self.worlds.hold(key.service_id)
            claimed = await self.names.of(key)
            if deleted:
                raise _deleted(key)
            if claimed is None:
                claimed = await self._claim(key, workspace_id, service_name, environment_name)
        self.wake()
        return claimed

    async def publish_endpoints(
        self, ctx: Ctx, key: Key, endpoints: Sequence[Endpoint], generation: int, *, deployment_id: str = ""
    ) -> int:
        """Replaces an app's endpoints; returns the version once every connected edge sends new requests there.

        Conflict when a later generation is published or an edge refuses, Unavailable when edges do not confirm in
        time: the intent stays, and asking again is harmless.
        """
        _check(key)
        wanted = checked(endpoints)
        async with self.work():
            if await self.worlds.hold(key.service_id):
                if wanted:
                    raise _deleted(key)
                return await self.worlds.revision()
            current = await self.publications.of(key)
            change = publish(current, wanted, generation, self.clock.now())
            if change is not None:
                version = await self.publications.save(key, change, deployment_id)
            else:
                version = current.version if current is not None else 0
        self.wake()
        await self.edges.until_serving(key, version, self._patience(ctx))
        await self.announce(key, version)
        return version

    async def announce(self, key: Key, version: int) -> None:
        """Tells that every edge has this version; once, however often it is called."""
        async with self.work():
            told = await self.publications.announce(key, version, self.clock.now())
            if told is not None:
                workspace_id, deployment_id, count = told
                await self.facts.record(
                    EndpointsPublished(key.service_id, key.environment_id, workspace_id, version, count, deployment_id)
                )

    async def _claim(self, key: Key, workspace_id: str, service_name: str, environment_name: str) -> Name:
        for label in candidates(service_name, environment_name, "/".join(key)):
            name = Name(key.service_id, key.environment_id, workspace_id, f"{label}.{self.base_domain}")
            if await self.names.claim(name):
                await self.facts.record(NameClaimed(name.service_id, name.environment_id, name.workspace_id, name.host))
                return name
        raise Conflict(
            f"No host name is left for {service_name} in {environment_name}.", hint="Give the service another name."
        )

    def _patience(self, ctx: Ctx) -> float:
        if ctx.deadline is None:
            return PATIENCE
        left = ctx.deadline - self.clock.monotonic()
        return max(0.0, left - max(ANSWER_MARGIN, left * ANSWER_MARGIN))


def _deleted(key: Key) -> NotFound:
    return NotFound(f"Service {key.service_id} is deleted.")


def _check(key: Key) -> None:
    for field, value in zip(("service_id", "environment_id"), key, strict=True):
        if not _ID.match(value):
            raise Invalid(f"“{value}” is no id.", field=field)

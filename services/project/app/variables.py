"""Variables: set, delete, list, and render for a deployment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.kernel.context import Ctx
from libs.kernel.errors import Denied, Invalid, NotFound
from libs.kernel.secret import Secret
from services.project.app.domains import Domains
from services.project.app.finding import Finder
from services.project.app.ports import Kept, Means
from services.project.app.worlds import Worlds, told, used_by
from services.project.domain.binding import as_kept, named
from services.project.domain.facts import VariablesChanged
from services.project.domain.model import Scope
from services.project.domain.names import shown
from services.project.domain.render import Node, Purpose, World, render, targets
from services.project.domain.variables import SHARED, Change, check_name, set_values, without


@dataclass(frozen=True, slots=True)
class Listed:
    """A variable as it may be shown: what is sealed comes without its value."""

    name: str
    value: Secret[str]
    sealed: bool = False
    provided: bool = False


@dataclass(frozen=True, slots=True)
class ForDeployment:
    """All a build or an instance is given, and the names whose values logs must mask."""

    values: Mapping[str, Secret[str]]
    secret_names: Sequence[str]
    version: int


class VariableUseCases:
    """What can be done with variables."""

    def __init__(self, kept: Kept, means: Means, finder: Finder, domains: Domains) -> None:
        self._services = kept.services
        self._variables = kept.variables
        self._work = means.work
        self._facts = means.facts
        self._clock = means.clock
        self._randomness = means.randomness
        self._worlds = Worlds(kept)
        self._find = finder
        self._domains = domains

    async def set_variables(
        self,
        ctx: Ctx,
        service_id: str,
        environment_id: str,
        values: Mapping[str, str],
        *,
        replace: bool = False,
        skip_deploys: bool = False,
        sealed: bool = False,
    ) -> int:
        """Sets these values, deleting all others when `replace` is set; gives the version the scope is at.

        Functions in the values are evaluated now. Invalid when a value breaks a limit, or refers to what does not
        exist or, directly or not, to itself; Conflict when it would delete what others refer to.
        """
        async with self._work():
            scope = await self._find.scope(ctx, service_id, environment_id, lock=True)
            current = await self._variables.load(scope)
            known = await self._services.known(scope.project_id, scope.workspace_id)
            ids = {each.name: each.id for each in known if not each.deleted}
            world = World(services={each.id: each.name for each in known}, variables={}, provided={})
            kept = {}
            for name, value in values.items():
                check_name(name)
                label = world.label((scope.service_id, name))
                kept[name] = as_kept(label, name, value, ids, self._randomness.below)
            change = set_values(current, kept, replace=replace, sealed=sealed)
            return await self._apply(ctx, scope, change, world, skip_deploys=skip_deploys)

    async def delete_variable(
        self, ctx: Ctx, service_id: str, environment_id: str, name: str, *, skip_deploys: bool = False
    ) -> int:
        """Deletes a variable; Conflict while others refer to it. Gives the version the scope is at."""
        async with self._work():
            scope = await self._find.scope(ctx, service_id, environment_id, lock=True)
            change = without(await self._variables.load(scope), name)
            known = await self._services.known(scope.project_id, scope.workspace_id)
            world = World(services={each.id: each.name for each in known}, variables={}, provided={})
            if change.nothing:
                raise NotFound(f"There is no variable {shown(world.label((scope.service_id, name)))}.", field="name")
            return await self._apply(ctx, scope, change, world, skip_deploys=skip_deploys)

    async def list_variables(
        self, ctx: Ctx, service_id: str, environment_id: str, *, rendered: bool
    ) -> tuple[Sequence[Listed], int]:
        """A scope's variables by name, as written or rendered, and the version it is at.

        In a rendered listing, references to sealed values and to what is not known yet stay references.
        """
        async with self._work():
            scope = await self._find.scope(ctx, service_id, environment_id)
            version = await self._variables.version(scope)
            loaded = await self._worlds.load(scope)
        world = loaded.world
        if loaded.nameless:
            setups = [await self._domains.claimed_if_possible(setup) for setup in loaded.nameless]
            world = loaded.with_domains(setups)
        content = world.variables[scope.service_id]
        shows = [name for name, variable in content.items() if not variable.sealed]
        if rendered:
            texts = {name: each.text for name, each in render(world, scope.service_id, shows, Purpose.LISTING).items()}
        else:
            texts = {name: Secret(named(content[name].text.reveal(), world.services)) for name in shows}
        listed = [
            Listed(name, texts.get(name, Secret("")), sealed=variable.sealed) for name, variable in content.items()
        ]
        if scope.service_id != SHARED:
            given = world.provided[scope.service_id]
            listed += [Listed(name, Secret(value), provided=True) for name, value in given.items() if value is not None]
        return sorted(listed, key=lambda each: each.name), version

    async def render_variables(
        self, ctx: Ctx, service_id: str, environment_id: str, *, deployment_id: str = "", version: int = 0
    ) -> ForDeployment:
        """Everything a build or an instance of the service is given, sealed values included.

        For platform services only. `version` is an earlier state of the environment's variables; 0: today's.
        Invalid when a reference leads nowhere, Unavailable when a host name is needed while the router is away.
        """
        if ctx.actor.kind != "service":
            raise Denied("Only the platform's own services may read what is sealed.")
        async with self._work():
            scope = await self._find.scope(ctx, service_id, environment_id)
            newest = await self._variables.environment_version(scope)
            if not 0 <= version <= newest:
                raise Invalid(f"There is no version {version}; the newest is {newest}.", field="version")
            loaded = await self._worlds.load(scope, at=version or newest, deployment_id=deployment_id)
        world = loaded.with_domains([await self._domains.claimed(setup) for setup in loaded.nameless])
        rendered = render(world, scope.service_id, world.variables[scope.service_id], Purpose.DEPLOYMENT)
        given = world.provided[scope.service_id]
        values = {name: Secret(value) for name, value in given.items() if value is not None}
        values.update({name: each.text for name, each in rendered.items()})
        secret = sorted(name for name, each in rendered.items() if each.secret)
        return ForDeployment(values, secret, version or newest)

    async def _apply(self, ctx: Ctx, scope: Scope, change: Change, world: World, *, skip_deploys: bool) -> int:
        """Keeps a change that leaves nothing dangling; one that changes nothing makes no version."""
        if change.nothing:
            return await self._variables.version(scope)
        await self._check_removed(scope, change, world)
        if change.written:
            loaded = await self._worlds.load(scope, content=change.content)
            render(loaded.world, scope.service_id, change.written, Purpose.CHECK)
        version = await self._variables.save(scope, change, by=ctx.actor.id, at=self._clock.now())
        await self._facts.record(
            VariablesChanged(
                service_id=scope.service_id,
                environment_id=scope.environment_id,
                workspace_id=scope.workspace_id,
                version=version,
                skip_deploys=skip_deploys,
            )
        )
        return version

    async def _check_removed(self, scope: Scope, change: Change, world: World) -> None:
        removed: set[Node] = {(scope.service_id, name) for name in change.removed}
        if not removed:
            return
        others = [node for node in await self._variables.users(scope, sorted(removed)) if node[0] != scope.service_id]
        own = [
            (scope.service_id, name)
            for name, variable in change.content.items()
            if name not in change.written and removed.intersection(targets(scope.service_id, variable.text.reveal()))
        ]
        if others or own:
            what = told(sorted(removed), world.services)
            raise used_by(what, [*others, *own], world.services)

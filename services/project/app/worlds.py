"""What a variable's value may refer to, loaded as far as it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from libs.kernel.errors import Conflict, Failure
from services.project.app.ports import Kept, Workspaces
from services.project.domain import provided
from services.project.domain.model import Scope, Setup
from services.project.domain.render import Node, World, shorter, targets
from services.project.domain.variables import SHARED, Content

MOST_TOLD: Final = 5


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """A world, and the services whose public domains its values ask for though they have none yet."""

    world: World
    setups: Mapping[str, Setup]
    nameless: Sequence[Setup]

    def with_domains(self, named: Sequence[Setup]) -> World:
        """The world in which these services have their host names."""
        given = dict(self.world.provided)
        for setup in named:
            given[setup.service.id] = {**given[setup.service.id], provided.PUBLIC_DOMAIN: setup.public_domain or None}
        return dataclasses.replace(self.world, provided=given)


class Worlds:
    """Loads the part of an environment that one scope's variables reach."""

    def __init__(self, kept: Kept) -> None:
        self._projects = kept.projects
        self._services = kept.services
        self._variables = kept.variables

    async def load(
        self,
        scope: Scope,
        *,
        at: int | None = None,
        content: Content | None = None,
        deployment_id: str = "",
    ) -> Loaded:
        """The world as `scope` sees it: at a version, or with its own variables replaced by `content`."""
        workspaces: Workspaces = [scope.workspace_id]
        known = await self._services.known(scope.project_id, scope.workspace_id)
        setups = {setup.service.id: setup for setup in await self._services.setups(scope.environment_id, workspaces)}
        given = await self._provided(scope, setups)
        if scope.service_id != SHARED:
            given[scope.service_id] = {**given[scope.service_id], provided.DEPLOYMENT_ID: deployment_id or None}
        variables: dict[str, Content] = {}
        asked: set[Node] = {(scope.service_id, provided.PUBLIC_DOMAIN)}
        pending = [scope.service_id]
        while pending:
            current = pending.pop()
            if current in variables or current not in given:
                continue
            if current == scope.service_id and content is not None:
                variables[current] = content
            else:
                variables[current] = await self._variables.load(dataclasses.replace(scope, service_id=current), at)
            reached = {node for each in variables[current].values() for node in targets(current, each.text.reveal())}
            asked |= reached
            pending += sorted({service for service, _ in reached})
        nameless = [
            setup
            for setup in setups.values()
            if (setup.service.id, provided.PUBLIC_DOMAIN) in asked
            and not setup.public_domain
            and not setup.settings.is_worker
        ]
        world = World(services={each.id: each.name for each in known}, variables=variables, provided=given)
        return Loaded(world, setups, nameless)

    async def _provided(self, scope: Scope, setups: Mapping[str, Setup]) -> dict[str, provided.Provided]:
        project = await self._projects.get(scope.project_id, [scope.workspace_id])
        environment = await self._projects.environment(scope.environment_id, [scope.workspace_id])
        common = provided.of_environment(
            project_id=scope.project_id,
            project_name=project.name if project else "",
            environment_id=scope.environment_id,
            environment_name=environment.name if environment else "",
        )
        given = {
            setup.service.id: {
                **common,
                **provided.of_service(
                    service_id=setup.service.id,
                    service_name=setup.service.name,
                    public_domain=setup.public_domain,
                    is_worker=setup.settings.is_worker,
                ),
            }
            for setup in setups.values()
        }
        return {SHARED: common, **given}


def used_by(what: str, users: Sequence[Node], names: Mapping[str, str], where: str = "") -> Failure:
    """The refusal to take away what other variables refer to, naming some of them."""
    verb = "refers" if len(users) == 1 else "refer"
    return Conflict(
        f"{what} is in use{where}: {told(users, names)} {verb} to it.",
        hint="Change or delete what refers to it first.",
    )


def told(nodes: Sequence[Node], names: Mapping[str, str]) -> str:
    """The places as a person reads them; of many, the first few."""
    world = World(services=names, variables={}, provided={})
    labels = ", ".join(shorter(world.label(node)) for node in nodes[:MOST_TOLD])
    return f"{labels} and {len(nodes) - MOST_TOLD} more" if len(nodes) > MOST_TOLD else labels

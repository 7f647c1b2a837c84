"""Services and their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import Conflict, Exhausted
from libs.kernel.ids import new_id
from services.project.app.domains import Domains
from services.project.app.finding import Finder, unbound
from services.project.app.ports import Kept, Means
from services.project.app.worlds import used_by
from services.project.domain import names
from services.project.domain.facts import ServiceCreated, ServiceDeleted, ServiceUpdated
from services.project.domain.model import Scope, Service, Setup
from services.project.domain.settings import Settings, changed

MAX_SERVICES: Final = 500


class ServiceUseCases:
    """What can be done with services."""

    def __init__(self, kept: Kept, means: Means, finder: Finder, domains: Domains) -> None:
        self._projects = kept.projects
        self._services = kept.services
        self._variables = kept.variables
        self._work = means.work
        self._facts = means.facts
        self._clock = means.clock
        self._find = finder
        self._domains = domains

    async def create_service(self, ctx: Ctx, project_id: str, name: str, settings: Settings) -> Setup:
        """Adds a service to every environment of a project. Conflict when the project has one of that name."""
        unbound(ctx, "make a service")
        async with self._work():
            project = await self._find.project(ctx, project_id, lock=True)
            wanted = names.service_name(name)
            checked = changed(Settings(), settings)
            if await self._free(project.id, project.workspace_id, wanted) >= MAX_SERVICES:
                raise Exhausted(f"A project has at most {MAX_SERVICES} services.")
            service = Service(
                new_id("service", self._clock), project.id, project.workspace_id, wanted, self._clock.now()
            )
            environments = await self._projects.environments([project.id], ctx.workspaces)
            await self._services.add(service, environments, checked)
            await self._facts.record(ServiceCreated(service.id, project.id, project.workspace_id, wanted))
            setup = await self._find.setup(ctx, service.id, "")
        return await self._domains.claimed_if_possible(setup)

    async def get_service(self, ctx: Ctx, service_id: str, environment_id: str, name: str) -> Setup:
        """The service in an environment, by id or by name."""
        if service_id or not name:
            setup = await self._find.setup(ctx, service_id, environment_id)
        else:
            setup = await self._find.setup_by_name(ctx, name, environment_id)
        return await self._domains.claimed_if_possible(setup)

    async def list_services(self, ctx: Ctx, project_id: str, environment_id: str) -> Sequence[Setup]:
        """All services of a project as they are set up in an environment (else its first one), by name."""
        if project_id or not environment_id:
            project = await self._find.project(ctx, project_id)
            environment = await self._find.environment_of(ctx, project, environment_id)
        else:
            environment = await self._find.environment(ctx, environment_id)
        setups = await self._services.setups(environment.id, ctx.workspaces)
        return [await self._domains.claimed_if_possible(setup) for setup in setups]

    async def update_service(
        self, ctx: Ctx, service_id: str, environment_id: str, name: str, settings: Settings, clear: Sequence[str]
    ) -> Setup:
        """Changes the settings that are given, unsets those in `clear`, and renames it when there is a name.

        Its host name stays when its name changes: links to it keep working.
        """
        async with self._work():
            service = await self._find.service(ctx, service_id)
            await self._find.project(ctx, service.project_id, lock=True)
            setup = await self._find.setup(ctx, service_id, environment_id, lock=True)
            new = dataclasses.replace(setup, settings=changed(setup.settings, settings, clear))
            if name and (wanted := names.service_name(name)) != setup.service.name:
                unbound(ctx, "rename a service")
                await self._free(service.project_id, service.workspace_id, wanted)
                new = dataclasses.replace(new, service=dataclasses.replace(setup.service, name=wanted))
            if new != setup:
                await self._services.save(new)
                await self._facts.record(ServiceUpdated(service.id, new.environment.id, service.workspace_id))
        return await self._domains.claimed_if_possible(new)

    async def delete_service(self, ctx: Ctx, service_id: str) -> None:
        """Deletes the service from all environments. Conflict while variables of others refer to it."""
        unbound(ctx, "delete a service")
        async with self._work():
            service = await self._find.service(ctx, service_id)
            await self._find.project(ctx, service.project_id, lock=True)
            known = await self._services.known(service.project_id, service.workspace_id)
            for environment in await self._projects.environments([service.project_id], ctx.workspaces, lock=True):
                scope = Scope(service.workspace_id, service.project_id, environment.id, service.id)
                nodes = await self._variables.users(scope, [(service.id, "")])
                others = [node for node in nodes if node[0] != service.id]
                if others:
                    labels = {each.id: each.name for each in known}
                    raise used_by(f"The service {service.name}", others, labels, f" in {environment.name}")
            await self._services.delete(service, self._clock.now())
            await self._facts.record(ServiceDeleted(service.id, service.project_id, service.workspace_id))

    async def _free(self, project_id: str, workspace_id: str, name: str) -> int:
        """Passes when no service of the project has this name; tells how many services there are."""
        alive = [each for each in await self._services.known(project_id, workspace_id) if not each.deleted]
        if any(each.name == name for each in alive):
            raise Conflict(f"The project has a service “{name}” already.", field="name")
        return len(alive)

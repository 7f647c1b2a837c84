"""From ids and names to things the caller may touch. What is another workspace's does not exist."""

from __future__ import annotations

from libs.kernel.context import Ctx
from libs.kernel.errors import Denied, Failure, Invalid, NotFound
from libs.kernel.ids import is_id
from services.project.app.ports import Projects, Services
from services.project.domain.model import Environment, Project, Scope, Service, Setup
from services.project.domain.names import shown


class Finder:
    """Finds projects, environments and services for a caller; NotFound or Denied when they are not the caller's."""

    def __init__(self, projects: Projects, services: Services) -> None:
        self._projects = projects
        self._services = services

    async def project(self, ctx: Ctx, project_id: str, *, lock: bool = False) -> Project:
        """The project with this id."""
        found = None
        if is_id(project_id, "project"):
            found = await self._projects.get(project_id, ctx.workspaces, lock=lock)
        if found is None:
            raise _missing("Project", project_id, "project_id")
        ctx.allow(found.workspace_id, found.id, what=_what("Project", project_id))
        return found

    async def environment(self, ctx: Ctx, environment_id: str, *, lock: bool = False) -> Environment:
        """The environment with this id."""
        found = None
        if is_id(environment_id, "environment"):
            found = await self._projects.environment(environment_id, ctx.workspaces, lock=lock)
        if found is None:
            raise _missing("Environment", environment_id, "environment_id")
        ctx.allow(found.workspace_id, found.project_id, found.id, what=_what("Environment", environment_id))
        return found

    async def environment_of(self, ctx: Ctx, project: Project, environment_id: str) -> Environment:
        """An environment of this project: the one given, else the one the caller is bound to, else the first."""
        wanted = environment_id or ctx.actor.environment_id
        if wanted:
            environment = await self.environment(ctx, wanted)
            if environment.project_id != project.id:
                raise _missing("Environment", wanted, "environment_id")
            return environment
        return (await self._projects.environments([project.id], ctx.workspaces))[0]

    async def service(self, ctx: Ctx, service_id: str) -> Service:
        """The service with this id, in whatever environment."""
        found = None
        if is_id(service_id, "service"):
            found = await self._services.get(service_id, ctx.workspaces)
        if found is None:
            raise _missing("Service", service_id, "service_id")
        ctx.allow(found.workspace_id, found.project_id, what=_what("Service", service_id))
        return found

    async def setup(self, ctx: Ctx, service_id: str, environment_id: str, *, lock: bool = False) -> Setup:
        """The service in an environment: the one given, else the one the caller is bound to, else the first."""
        service = await self.service(ctx, service_id)
        project = await self.project(ctx, service.project_id)
        environment = await self.environment_of(ctx, project, environment_id)
        found = await self._services.setup(service.id, environment.id, ctx.workspaces, lock=lock)
        if found is None:
            raise _missing("Service", service_id, "service_id")
        return found

    async def setup_by_name(self, ctx: Ctx, name: str, environment_id: str) -> Setup:
        """The service of this name in an environment."""
        if not environment_id:
            raise Invalid("A service's name needs an environment beside it.", field="environment_id")
        environment = await self.environment(ctx, environment_id)
        found = None if "\0" in name else await self._services.setup_by_name(name, environment.id, ctx.workspaces)
        if found is None:
            raise NotFound(f"There is no service “{shown(name)}” in {environment.name}.", field="name")
        return found

    async def scope(self, ctx: Ctx, service_id: str, environment_id: str, *, lock: bool = False) -> Scope:
        """Whose variables are meant.

        With `lock` nobody else changes variables of that environment until the transaction ends.
        """
        if service_id:
            environment = (await self.setup(ctx, service_id, environment_id)).environment
        elif environment_id:
            environment = await self.environment(ctx, environment_id)
        else:
            raise Invalid(
                "Say whose variables: a service's, or those an environment shares.",
                field="service_id",
                hint="Give service_id, or environment_id alone for the shared ones.",
            )
        if lock:
            await self.environment(ctx, environment.id, lock=True)
            if service_id:
                await self.setup(ctx, service_id, environment.id)  # again: it may have been deleted before the lock
        return Scope(environment.workspace_id, environment.project_id, environment.id, service_id)


def unbound(ctx: Ctx, what: str) -> None:
    """Passes when the caller's token reaches beyond one environment; Denied tells what it may not do."""
    if ctx.actor.environment_id:
        raise Denied(f"This token is bound to one environment and cannot {what}.", hint="Use a token of the workspace.")


def _what(kind: str, given: str) -> str:
    return f"{kind} {shown(given)}"


def _missing(kind: str, given: str, field: str) -> Failure:
    if not given:
        return NotFound(f"Say which {kind.lower()}: {field} is empty.", field=field)
    return NotFound(f"{_what(kind, given)} does not exist, or is not yours to see.", field=field)

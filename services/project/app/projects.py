"""Projects and their environments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from libs.kernel.context import Ctx
from libs.kernel.errors import Conflict, Denied, Exhausted, Invalid
from libs.kernel.ids import is_id, new_id
from libs.scan.severity import policy_of
from services.project.app.finding import Finder, unbound
from services.project.app.ports import Kept, Means
from services.project.app.sources import Sources
from services.project.domain import names
from services.project.domain.facts import EnvironmentCreated, ProjectCreated, ProjectDeleted, ServiceDeleted
from services.project.domain.model import Environment, Project
from services.project.domain.source import Source

DEFAULT_PAGE: Final = 50
LARGEST_PAGE: Final = 200
MAX_ENVIRONMENTS: Final = 100


@dataclass(frozen=True, slots=True)
class FullProject:
    """A project with its environments, oldest first."""

    project: Project
    environments: Sequence[Environment]


class ProjectUseCases:
    """What can be done with projects and environments."""

    def __init__(self, kept: Kept, means: Means, finder: Finder, sources: Sources) -> None:
        self._sources = sources
        self._projects = kept.projects
        self._services = kept.services
        self._work = means.work
        self._facts = means.facts
        self._clock = means.clock
        self._find = finder

    async def create_project(self, ctx: Ctx, workspace_id: str, name: str) -> FullProject:
        """Makes a project with one environment, "production". Conflict when the workspace has one of that name."""
        workspace = workspace_id or ctx.only_workspace("")
        ctx.allow(workspace, what=f"Workspace {names.shown(workspace)}")
        if ctx.actor.project_id or ctx.actor.environment_id:
            raise Denied("This token is bound to one project and cannot make another.")
        wanted = names.project_name(name)
        key = names.project_key(wanted)
        now = self._clock.now()
        project = Project(new_id("project", self._clock), workspace, wanted, now)
        first = Environment(new_id("environment", self._clock), project.id, workspace, names.FIRST_ENVIRONMENT, now)
        async with self._work():
            if await self._projects.with_key(workspace, key):
                raise Conflict(
                    f"The workspace has a project “{names.shown(wanted)}” already.",
                    field="name",
                    hint="Choose another name.",
                )
            await self._projects.add(project, key)
            await self._projects.add_environment(first)
            await self._facts.record(ProjectCreated(project.id, workspace, wanted))
            await self._facts.record(EnvironmentCreated(first.id, project.id, workspace, first.name))
        return FullProject(project, [first])

    async def get_project(self, ctx: Ctx, project_id: str) -> FullProject:
        """The project with its environments."""
        project = await self._find.project(ctx, project_id)
        return FullProject(project, await self._environments(ctx, project))

    async def list_projects(
        self, ctx: Ctx, workspace_id: str, *, limit: int, cursor: str
    ) -> tuple[Sequence[FullProject], str]:
        """A page of projects, oldest first, and the cursor of the next one ("": this was the last)."""
        if limit < 0:
            raise Invalid(f"A page cannot have {limit} entries.", field="page.limit", hint="Leave it out for 50.")
        if cursor and not is_id(cursor, "project"):
            raise Invalid("This cursor is none that a page ended with.", field="page.cursor")
        if workspace_id:
            ctx.allow(workspace_id, what=f"Workspace {names.shown(workspace_id)}")
        size = min(limit or DEFAULT_PAGE, LARGEST_PAGE)
        workspaces = [workspace_id] if workspace_id else ctx.workspaces
        found = await self._projects.page(workspaces, ctx.actor.project_id, cursor, size + 1)
        page = found[:size]
        environments = await self._projects.environments([project.id for project in page], workspaces)
        full = [
            FullProject(project, [each for each in environments if each.project_id == project.id]) for project in page
        ]
        return full, page[-1].id if len(found) > size else ""

    async def update_project(
        self, ctx: Ctx, project_id: str, *, scan_policy: str | None, scan_severity: str | None
    ) -> FullProject:
        """Changes what is given. Invalid names the field of a wrong word."""
        unbound(ctx, "change a project")
        async with self._work():
            project = await self._find.project(ctx, project_id, lock=True)
            action = project.scan.action if scan_policy is None else scan_policy
            severity = project.scan.severity if scan_severity is None else scan_severity
            changed = replace(project, scan=policy_of(action, severity))
            await self._projects.change(changed)
        return FullProject(changed, await self._environments(ctx, changed))

    async def delete_project(self, ctx: Ctx, project_id: str) -> None:
        """Deletes the project with its environments and services."""
        unbound(ctx, "delete a project")
        async with self._work():
            project = await self._find.project(ctx, project_id, lock=True)
            for service in await self._services.known(project.id, project.workspace_id):
                if not service.deleted:
                    await self._facts.record(ServiceDeleted(service.id, project.id, project.workspace_id))
            await self._projects.delete(project)
            await self._facts.record(ProjectDeleted(project.id, project.workspace_id))

    async def create_environment(self, ctx: Ctx, project_id: str, name: str) -> Environment:
        """Adds an environment in which every service is set up as in the first, with its source; without variables."""
        unbound(ctx, "make an environment")
        async with self._work():
            project = await self._find.project(ctx, project_id, lock=True)
            wanted = names.environment_name(name)
            others = await self._projects.environments([project.id], ctx.workspaces)
            if any(other.name == wanted for other in others):
                raise Conflict(f"The project has an environment “{wanted}” already.", field="name")
            if len(others) >= MAX_ENVIRONMENTS:
                raise Exhausted(f"A project has at most {MAX_ENVIRONMENTS} environments.")
            environment = Environment(
                new_id("environment", self._clock), project.id, project.workspace_id, wanted, self._clock.now()
            )
            await self._projects.add_environment(environment)
            await self._services.add_environment(environment, like=others[0])
            await self._copy_sources(environment, like=others[0])
            await self._facts.record(EnvironmentCreated(environment.id, project.id, project.workspace_id, wanted))
        return environment

    async def _copy_sources(self, environment: Environment, like: Environment) -> None:
        """Each is saved anew: a password is sealed for its own place."""
        workspaces = [environment.workspace_id]
        there = {setup.service.id: setup for setup in await self._services.setups(environment.id, workspaces)}
        for setup in await self._services.setups(like.id, workspaces):
            source = await self._sources.load(setup)
            if source != Source():
                await self._sources.save(there[setup.service.id], source)

    async def list_environments(self, ctx: Ctx, project_id: str) -> Sequence[Environment]:
        """The project's environments, oldest first."""
        return await self._environments(ctx, await self._find.project(ctx, project_id))

    async def _environments(self, ctx: Ctx, project: Project) -> Sequence[Environment]:
        bound_to = ctx.actor.environment_id
        found = await self._projects.environments([project.id], ctx.workspaces)
        return [environment for environment in found if bound_to in ("", environment.id)]

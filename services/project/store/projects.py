"""Projects and environments in PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from libs.db import Database, Row
from libs.scan.severity import policy_of
from services.project.app.ports import Workspaces
from services.project.domain.model import Environment, Project

_PROJECT: Final = "id, workspace_id, name, created_at, scan_policy, scan_severity"


class PostgresProjects:
    """Keeps projects and their environments."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, project: Project, key: str) -> None:
        """Keeps a new project; Conflict when its workspace has one with this key."""
        await self._db.execute(
            "insert into projects (id, workspace_id, name, name_key, created_at) values ($1, $2, $3, $4, $5)",
            project.id,
            project.workspace_id,
            project.name,
            key,
            project.created_at,
        )

    async def get(self, project_id: str, workspaces: Workspaces, *, lock: bool = False) -> Project | None:
        """The project; with `lock` nobody else changes what belongs to it until the transaction ends."""
        if lock:
            await self._db.execute(
                "select from projects where id = $1 and ($2::text[] is null or workspace_id = any($2)) for update",
                project_id,
                workspaces,
            )
        row = await self._db.fetchrow(
            f"select {_PROJECT} from projects"  # noqa: S608 - constants
            " where id = $1 and ($2::text[] is null or workspace_id = any($2))",
            project_id,
            workspaces,
        )
        return _project(row) if row else None

    async def with_key(self, workspace_id: str, key: str) -> Project | None:
        """The project of a workspace that has this key."""
        row = await self._db.fetchrow(
            f"select {_PROJECT} from projects where workspace_id = $1 and name_key = $2",  # noqa: S608 - constants
            workspace_id,
            key,
        )
        return _project(row) if row else None

    async def page(self, workspaces: Workspaces, project_id: str, after: str, limit: int) -> list[Project]:
        """Projects with ids above `after`, oldest first; only the one given when the caller is bound to it."""
        rows = await self._db.fetch(
            f"select {_PROJECT} from projects"  # noqa: S608 - constants
            " where ($1::text[] is null or workspace_id = any($1))"
            " and ($2 = '' or id = $2) and id > $3 order by id limit $4",
            workspaces,
            project_id,
            after,
            limit,
        )
        return [_project(row) for row in rows]

    async def change(self, project: Project) -> None:
        """Keeps what can be changed of a project."""
        await self._db.execute(
            "update projects set scan_policy = $3, scan_severity = $4 where id = $1 and workspace_id = $2",
            project.id,
            project.workspace_id,
            project.scan.action.value,
            project.scan.severity.value,
        )

    async def delete(self, project: Project) -> None:
        """Forgets the project and everything in it."""
        await self._db.execute(
            "delete from projects where id = $1 and workspace_id = $2", project.id, project.workspace_id
        )

    async def add_environment(self, environment: Environment) -> None:
        """Keeps a new environment."""
        await self._db.execute(
            "insert into environments (id, project_id, workspace_id, name, created_at) values ($1, $2, $3, $4, $5)",
            environment.id,
            environment.project_id,
            environment.workspace_id,
            environment.name,
            environment.created_at,
        )

    async def environment(
        self, environment_id: str, workspaces: Workspaces, *, lock: bool = False
    ) -> Environment | None:
        """The environment; with `lock` nobody else changes its variables until the transaction ends."""
        if lock:
            await self._db.execute(
                "select from environments where id = $1 and ($2::text[] is null or workspace_id = any($2)) for update",
                environment_id,
                workspaces,
            )
        row = await self._db.fetchrow(
            "select id, project_id, workspace_id, name, created_at from environments"
            " where id = $1 and ($2::text[] is null or workspace_id = any($2))",
            environment_id,
            workspaces,
        )
        return Environment(**row) if row else None

    async def environments(
        self, project_ids: Sequence[str], workspaces: Workspaces, *, lock: bool = False
    ) -> list[Environment]:
        """Environments of these projects, oldest first."""
        if lock:
            await self._db.execute(
                "select from environments where project_id = any($1::text[])"
                " and ($2::text[] is null or workspace_id = any($2)) order by id for update",
                list(project_ids),
                workspaces,
            )
        rows = await self._db.fetch(
            "select id, project_id, workspace_id, name, created_at from environments where project_id = any($1::text[])"
            " and ($2::text[] is null or workspace_id = any($2)) order by id",
            list(project_ids),
            workspaces,
        )
        return [Environment(**row) for row in rows]


def _project(row: Row) -> Project:
    policy = policy_of(row["scan_policy"], row["scan_severity"])
    return Project(row["id"], row["workspace_id"], row["name"], row["created_at"], policy)

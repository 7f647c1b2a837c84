"""Services and their settings in PostgreSQL: a typed column for each setting, a row for each environment."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from libs.db import Database, Row
from services.project.app.ports import Known, Workspaces
from services.project.domain.model import Environment, Service, Setup
from services.project.domain.settings import NAMES, Resources, Settings

_PLAIN: Final = tuple(name for name in NAMES if name != "resources")
_RESOURCES: Final = tuple(field.name for field in dataclasses.fields(Resources))
_THING: Final = ("id", "project_id", "workspace_id", "name", "created_at")

_INSERT: Final = """
    insert into service_settings (
        service_id, environment_id, workspace_id,
        start_command, build_command, root_directory, replicas, health_path, health_timeout, restart_policy,
        restart_max_retries, drain_seconds, kind, test_command, builder, cpu_request, memory_request, cpu_limit,
        memory_limit)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""
_COPY: Final = """
    insert into service_settings (
        service_id, environment_id, workspace_id,
        start_command, build_command, root_directory, replicas, health_path, health_timeout, restart_policy,
        restart_max_retries, drain_seconds, kind, test_command, builder, cpu_request, memory_request, cpu_limit,
        memory_limit)
    select service_id, $1, workspace_id,
        start_command, build_command, root_directory, replicas, health_path, health_timeout, restart_policy,
        restart_max_retries, drain_seconds, kind, test_command, builder, cpu_request, memory_request, cpu_limit,
        memory_limit
    from service_settings where environment_id = $2 and workspace_id = $3
"""
_UPDATE: Final = """
    update service_settings set
        start_command = $4, build_command = $5, root_directory = $6, replicas = $7, health_path = $8,
        health_timeout = $9, restart_policy = $10, restart_max_retries = $11, drain_seconds = $12, kind = $13,
        test_command = $14, builder = $15, cpu_request = $16, memory_request = $17, cpu_limit = $18,
        memory_limit = $19
    where service_id = $1 and environment_id = $2 and workspace_id = $3
"""
_NO_SETTINGS: Final = "delete from service_settings where service_id = $1 and workspace_id = $2"
_NO_VERSIONS: Final = "delete from variable_versions where service_id = $1 and workspace_id = $2"
_NO_VALUES: Final = "delete from variable_values where service_id = $1 and workspace_id = $2"
_NO_SOURCES: Final = "delete from service_sources where service_id = $1 and workspace_id = $2"
_NO_KEYS: Final = "delete from deploy_keys where service_id = $1 and workspace_id = $2"
_NO_HOST_KEYS: Final = "delete from host_keys where service_id = $1 and workspace_id = $2"
_SETUPS: Final = """
    select s.id as s_id, s.project_id as s_project_id, s.workspace_id as s_workspace_id, s.name as s_name,
        s.created_at as s_created_at, e.id as e_id, e.project_id as e_project_id, e.workspace_id as e_workspace_id,
        e.name as e_name, e.created_at as e_created_at, p.name as project_name, t.claimed_domain,
        t.start_command, t.build_command, t.root_directory, t.replicas, t.health_path, t.health_timeout,
        t.restart_policy, t.restart_max_retries, t.drain_seconds, t.kind, t.test_command, t.builder,
        t.cpu_request, t.memory_request, t.cpu_limit, t.memory_limit
    from service_settings t
    join services s on s.id = t.service_id and s.deleted_at is null
    join environments e on e.id = t.environment_id
    join projects p on p.id = s.project_id
    where ($1::text[] is null or t.workspace_id = any($1)) and t.environment_id = $2
"""


class PostgresServices:
    """Keeps services and how each is set up in each environment."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, service: Service, environments: Sequence[Environment], settings: Settings) -> None:
        """Keeps a new service, set up alike in these environments."""
        async with self._db.tx():
            await self._db.execute(
                "insert into services (id, project_id, workspace_id, name, created_at) values ($1, $2, $3, $4, $5)",
                service.id,
                service.project_id,
                service.workspace_id,
                service.name,
                service.created_at,
            )
            await self._db.executemany(
                _INSERT,
                [(service.id, place.id, service.workspace_id, *_values(settings)) for place in environments],
            )

    async def add_environment(self, environment: Environment, like: Environment) -> None:
        """Sets up every service of the project in a new environment as it is in another one."""
        await self._db.execute(_COPY, environment.id, like.id, environment.workspace_id)

    async def get(self, service_id: str, workspaces: Workspaces) -> Service | None:
        """The service."""
        row = await self._db.fetchrow(
            "select id, project_id, workspace_id, name, created_at from services"
            " where id = $1 and deleted_at is null and ($2::text[] is null or workspace_id = any($2))",
            service_id,
            workspaces,
        )
        return Service(**row) if row else None

    async def setup(
        self, service_id: str, environment_id: str, workspaces: Workspaces, *, lock: bool = False
    ) -> Setup | None:
        """The service as it is set up in an environment; with `lock` nobody else changes that meanwhile."""
        if lock:
            await self._db.execute(
                "select from service_settings t where t.service_id = $1 and t.environment_id = $2"
                " and ($3::text[] is null or t.workspace_id = any($3)) for update",
                service_id,
                environment_id,
                workspaces,
            )
        row = await self._db.fetchrow(f"{_SETUPS} and t.service_id = $3", workspaces, environment_id, service_id)
        return _setup(row) if row else None

    async def setup_by_name(self, name: str, environment_id: str, workspaces: Workspaces) -> Setup | None:
        """The service that has this name in the environment's project."""
        row = await self._db.fetchrow(f"{_SETUPS} and s.name = $3", workspaces, environment_id, name)
        return _setup(row) if row else None

    async def setups(self, environment_id: str, workspaces: Workspaces) -> list[Setup]:
        """All services as they are set up in an environment, by name."""
        rows = await self._db.fetch(f"{_SETUPS} order by s.name", workspaces, environment_id)
        return [_setup(row) for row in rows]

    async def known(self, project_id: str, workspace_id: str) -> list[Known]:
        """All services that the project has or had, oldest first."""
        rows = await self._db.fetch(
            "select id, name, deleted_at is not null as deleted from services"
            " where project_id = $1 and workspace_id = $2 order by id",
            project_id,
            workspace_id,
        )
        return [Known(**row) for row in rows]

    async def save(self, setup: Setup) -> None:
        """Keeps its settings and its name."""
        service = setup.service
        async with self._db.tx():
            await self._db.execute(
                "update services set name = $3 where id = $1 and workspace_id = $2 and name <> $3",
                service.id,
                service.workspace_id,
                service.name,
            )
            await self._db.execute(
                _UPDATE, service.id, setup.environment.id, service.workspace_id, *_values(setup.settings)
            )

    async def claimed(self, setup: Setup) -> None:
        """Keeps the host name a service was given in an environment, and nothing else of it."""
        await self._db.execute(
            "update service_settings set claimed_domain = $4"
            " where service_id = $1 and environment_id = $2 and workspace_id = $3",
            setup.service.id,
            setup.environment.id,
            setup.service.workspace_id,
            setup.claimed_domain,
        )

    async def delete(self, service: Service, at: datetime) -> None:
        """Forgets its settings, variables and keys; only its name stays known."""
        async with self._db.tx():
            await self._db.execute(
                "update services set deleted_at = $3 where id = $1 and workspace_id = $2",
                service.id,
                service.workspace_id,
                at,
            )
            for statement in (_NO_SETTINGS, _NO_VERSIONS, _NO_VALUES, _NO_SOURCES, _NO_KEYS, _NO_HOST_KEYS):
                await self._db.execute(statement, service.id, service.workspace_id)


def _values(settings: Settings) -> list[object]:
    resources = settings.resources
    return [
        *(getattr(settings, name) for name in _PLAIN),
        *(getattr(resources, name) if resources else None for name in _RESOURCES),
    ]


def _setup(row: Row) -> Setup:
    parts = {name: row[name] for name in _RESOURCES}
    resources = None if None in parts.values() else Resources(**parts)
    return Setup(
        service=Service(**{name: row[f"s_{name}"] for name in _THING}),
        environment=Environment(**{name: row[f"e_{name}"] for name in _THING}),
        project_name=row["project_name"],
        settings=Settings(**{name: row[name] for name in _PLAIN}, resources=resources),
        claimed_domain=row["claimed_domain"],
    )

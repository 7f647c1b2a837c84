"""Pushes in PostgreSQL."""

from __future__ import annotations

from typing import Final

from libs.db import Database, Row
from services.build.domain.push import Push, PushState

_FIELDS: Final = (
    "id, workspace_id, service_id, environment_id, ref, old_commit, new_commit, state, created_at, deployment_id"
)


class PostgresPushes:
    """The table `pushes`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, push: Push) -> bool:
        """Keeps one; False when another one to the same service and environment is pending."""
        added = await self._db.execute(
            f"insert into pushes ({_FIELDS}) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"  # noqa: S608 - constants
            " on conflict (service_id, environment_id) where state = 'pending' do nothing",
            *(push.id, push.workspace_id, push.service_id, push.environment_id, push.ref, push.old_commit),
            *(push.new_commit, push.state.value, push.created_at, push.deployment_id),
        )
        return added > 0

    async def get(self, push_id: str) -> Push | None:
        """One by its id."""
        row = await self._db.fetchrow(f"select {_FIELDS} from pushes where id = $1", push_id)  # noqa: S608 - constants
        return _push(row) if row else None

    async def pending(self) -> list[Push]:
        """Those of which it is not known what becomes of them, oldest first."""
        rows = await self._db.fetch(f"select {_FIELDS} from pushes where state = 'pending' order by id")  # noqa: S608 - constants
        return [_push(row) for row in rows]

    async def deployed(self, push_id: str, deployment_id: str) -> None:
        """Notes the deployment of a pending one."""
        await self._db.execute(
            "update pushes set deployment_id = $2 where id = $1 and state = 'pending'", push_id, deployment_id
        )

    async def deployment(self, push: Push) -> str:
        """The deployment that a build knows it by, whether or not it was noted; empty: none."""
        found = await self._db.fetchval(
            "select deployment_id from builds where service_id = $1 and environment_id = $2 and git ->> 'push_id' = $3"
            " order by created_at, id limit 1",
            *(push.service_id, push.environment_id, push.id),
        )
        return str(found or "")

    async def give_up(self, push_id: str) -> None:
        """Refuses one that has no deployment; harmless when it has one, or has ended."""
        await self._db.execute(
            "update pushes set state = 'refused' where id = $1 and state = 'pending' and deployment_id = ''", push_id
        )

    async def end(self, push_id: str, state: PushState) -> None:
        """Ends a pending one; harmless when it has ended."""
        await self._db.execute("update pushes set state = $2 where id = $1 and state = 'pending'", push_id, state.value)


def _push(row: Row) -> Push:
    return Push(**{**row, "state": PushState(row["state"])})

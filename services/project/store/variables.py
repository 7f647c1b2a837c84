"""Variables in PostgreSQL: values are written once, encrypted; a version lists those that were in force."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from libs.db import Database
from libs.kernel.errors import Invalid
from libs.kernel.secret import Secret
from services.project.app.ports import Keyring, Place
from services.project.domain.model import Scope
from services.project.domain.render import Node, targets
from services.project.domain.variables import Change, Content, Variable


class PostgresVariables:
    """Keeps every version of every scope."""

    def __init__(self, db: Database, keyring: Keyring) -> None:
        self._db = db
        self._keyring = keyring

    async def check_key(self) -> None:
        """Passes when the keyring opens what is kept; Invalid when values were encrypted under another key."""
        other = await self._db.fetchval("select count(*) from variable_values where key_id <> $1", self._keyring.key_id)
        if other:
            raise Invalid(
                f"{other} variables are encrypted under another key than the one in LIGHTRAIL_SECRETS_KEY_FILE.",
                hint="Put the old key file back: nothing else opens them.",
            )

    async def load(self, scope: Scope, at: int | None = None) -> Content:
        """The scope's variables as they were at version `at` of the environment; None: as they are."""
        rows = await self._db.fetch(
            "select v.name, v.sealed, v.box from ("
            " select value_ids from variable_versions"
            " where environment_id = $1 and service_id = $2 and workspace_id = $3"
            " and ($4::bigint is null or version <= $4) order by version desc limit 1) w"
            " cross join unnest(w.value_ids) as listed (id) join variable_values v on v.id = listed.id"
            " where v.environment_id = $1 and v.service_id = $2 and v.workspace_id = $3",
            *_key(scope),
            at,
        )
        texts = await self._keyring.open(
            [(_place(scope, row["name"], sealed=row["sealed"]), row["box"]) for row in rows]
        )
        return {
            row["name"]: Variable(Secret(text.decode()), sealed=row["sealed"])
            for row, text in zip(rows, texts, strict=True)
        }

    async def version(self, scope: Scope) -> int:
        """The version in which the scope changed last; 0: never."""
        return int(
            await self._db.fetchval(
                "select coalesce(max(version), 0) from variable_versions"
                " where environment_id = $1 and service_id = $2 and workspace_id = $3",
                *_key(scope),
            )
        )

    async def environment_version(self, scope: Scope) -> int:
        """The newest version of any scope in this environment."""
        found = await self._db.fetchval(
            "select variables_version from environments where id = $1 and workspace_id = $2",
            scope.environment_id,
            scope.workspace_id,
        )
        return int(found or 0)

    async def save(self, scope: Scope, change: Change, *, by: str, at: datetime) -> int:
        """Keeps a change as the environment's next version, and tells which one that is."""
        async with self._db.tx():
            version = await self._db.fetchval(
                "update environments set variables_version = variables_version + 1"
                " where id = $1 and workspace_id = $2 returning variables_version",
                scope.environment_id,
                scope.workspace_id,
            )
            kept = await self._ids(scope)
            written = await self._write(scope, {name: change.content[name] for name in sorted(change.written)})
            ids = {**kept, **written}
            await self._db.execute(
                "insert into variable_versions"
                " (environment_id, service_id, workspace_id, version, value_ids, created_at, created_by)"
                " values ($1, $2, $3, $4, $5, $6, $7)",
                *_key(scope),
                version,
                [ids[name] for name in sorted(change.content)],
                at,
                by,
            )
        return int(version)

    async def users(self, scope: Scope, nodes: Sequence[Node]) -> list[Node]:
        """Variables in the scope's environment that refer to one of these; a node without a name means all of it."""
        rows = await self._db.fetch(
            "select v.service_id, v.name from ("
            " select distinct on (service_id) value_ids from variable_versions"
            " where environment_id = $1 and workspace_id = $2 order by service_id, version desc) w"
            " cross join unnest(w.value_ids) as listed (id) join variable_values v on v.id = listed.id"
            " where v.refs && $3::text[] and v.workspace_id = $2 order by v.service_id, v.name",
            scope.environment_id,
            scope.workspace_id,
            [_ref(node) for node in nodes],
        )
        return [(row["service_id"], row["name"]) for row in rows]

    async def _ids(self, scope: Scope) -> dict[str, int]:
        rows = await self._db.fetch(
            "select v.name, v.id from ("
            " select value_ids from variable_versions where environment_id = $1 and service_id = $2"
            " and workspace_id = $3 order by version desc limit 1) w"
            " cross join unnest(w.value_ids) as listed (id) join variable_values v on v.id = listed.id",
            *_key(scope),
        )
        return {row["name"]: row["id"] for row in rows}

    async def _write(self, scope: Scope, content: Content) -> dict[str, int]:
        names = list(content)
        boxes = await self._keyring.seal(
            [
                (_place(scope, name, sealed=variable.sealed), variable.text.reveal().encode())
                for name, variable in content.items()
            ]
        )
        ids = await self._db.fetch(
            "select nextval(pg_get_serial_sequence('variable_values', 'id')) as id from generate_series(1, $1)",
            len(names),
        )
        numbered = {name: row["id"] for name, row in zip(names, ids, strict=True)}
        await self._db.executemany(
            "insert into variable_values"
            " (environment_id, service_id, workspace_id, id, name, sealed, key_id, box, refs)"
            " overriding system value values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                (
                    *_key(scope),
                    numbered[name],
                    name,
                    content[name].sealed,
                    self._keyring.key_id,
                    box,
                    _refs(scope, content[name]),
                )
                for name, box in zip(names, boxes, strict=True)
            ],
        )
        return numbered


def _key(scope: Scope) -> tuple[str, str, str]:
    return scope.environment_id, scope.service_id, scope.workspace_id


def _place(scope: Scope, name: str, *, sealed: bool) -> Place:
    return scope.workspace_id, scope.environment_id, scope.service_id, name, "sealed" if sealed else "open"


def _refs(scope: Scope, variable: Variable) -> list[str]:
    nodes = targets(scope.service_id, variable.text.reveal())
    return sorted({text for node in nodes for text in (_ref(node), _ref((node[0], "")))})


def _ref(node: Node) -> str:
    scope, name = node
    return f"{scope}.{name}" if name else scope

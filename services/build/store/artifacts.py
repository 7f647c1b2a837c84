"""Snapshots, artifacts and the index of dependency layers in PostgreSQL; facts in the outbox."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from libs.db import Database, Row
from libs.facts import NewFact, Outbox
from services.build.app.ports import Freed, KeptLayer
from services.build.domain.facts import BuildFact
from services.build.domain.model import Artifact, Layer, Snapshot, artifact_of


class PostgresSnapshots:
    """The table `snapshots`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, snapshot: Snapshot, project_id: str) -> None:
        """Keeps one."""
        await self._db.execute(
            "insert into snapshots (id, workspace_id, project_id, service_id, digest, size_bytes, created_at)"
            " values ($1, $2, $3, $4, $5, $6, $7)",
            snapshot.id,
            snapshot.workspace_id,
            project_id,
            snapshot.service_id,
            snapshot.digest,
            snapshot.size_bytes,
            snapshot.created_at,
        )

    async def get(self, snapshot_id: str, workspaces: Sequence[str] | None) -> tuple[Snapshot, str] | None:
        """One, with the project it belongs to."""
        row = await self._db.fetchrow(
            "select id, workspace_id, project_id, service_id, digest, size_bytes, created_at from snapshots"
            " where id = $1 and ($2::text[] is null or workspace_id = any($2))",
            snapshot_id,
            workspaces,
        )
        if row is None:
            return None
        fields = dict(row.items())
        project_id = fields.pop("project_id")
        return Snapshot(**fields), project_id


class PostgresArtifacts:
    """The table `artifacts`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, artifact: Artifact, workspace_id: str, now: datetime, provenance_digest: str = "") -> None:
        """Keeps one; one that is there was used now, so that no collection under way removes it."""
        await self._db.execute(
            "insert into artifacts (digest, workspace_id, manifest, created_at, used_at, provenance_digest)"
            " values ($1, $2, $3, $4, $4, $5) on conflict (digest) do update"
            " set used_at = greatest(artifacts.used_at, excluded.used_at),"
            " provenance_digest = coalesce(nullif(excluded.provenance_digest, ''), artifacts.provenance_digest)",
            artifact.digest,
            workspace_id,
            artifact.manifest(),
            now,
            provenance_digest,
        )

    async def provenance(self, digest: str) -> str:
        """Digest of the envelope about it; empty when there is none."""
        return await self._db.fetchval("select provenance_digest from artifacts where digest = $1", digest) or ""

    async def get(self, digest: str, now: datetime) -> Artifact | None:
        """One by its digest; notes that it was used, for whoever asks is about to start it."""
        manifest = await self._db.fetchval(
            "update artifacts set used_at = greatest(used_at, $2) where digest = $1 returning manifest", digest, now
        )
        return artifact_of(manifest) if manifest else None


class PostgresDependencyLayers:
    """The table `dependency_layers`."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def find(self, workspace_id: str, key: str, now: datetime, service_id: str = "") -> Layer | None:
        """The layer for this key; notes that it was used, and by whom."""
        row = await self._db.fetchrow(
            "update dependency_layers set used_at = $3, service_id = coalesce(nullif($4, ''), service_id)"
            " where workspace_id = $1 and key = $2 and cleared_at is null"
            " returning digest, mount, writable, size_bytes",
            workspace_id,
            key,
            now,
            service_id,
        )
        return _layer(row) if row else None

    async def keep(self, workspace_id: str, key: str, layer: Layer, now: datetime, service_id: str = "") -> None:
        """Remembers it; a key already there gets the new layer."""
        await self._db.execute(
            "insert into dependency_layers (workspace_id, key, digest, mount, writable, size_bytes, created_at,"
            " used_at, service_id) values ($1, $2, $3, $4, $5, $6, $7, $7, $8) on conflict (workspace_id, key)"
            " do update set digest = excluded.digest, mount = excluded.mount, writable = excluded.writable,"
            " size_bytes = excluded.size_bytes, used_at = excluded.used_at, service_id = excluded.service_id,"
            " cleared_at = null",
            workspace_id,
            key,
            layer.digest,
            layer.mount,
            layer.writable,
            layer.size_bytes,
            now,
            service_id,
        )

    async def of_workspace(self, workspace_id: str, service_id: str) -> list[KeptLayer]:
        """All that may be found, of one service when it is named; the one used last first."""
        rows = await self._db.fetch(
            "select digest, mount, writable, size_bytes, service_id, used_at from dependency_layers"
            " where workspace_id = $1 and cleared_at is null and ($2 = '' or service_id = $2)"
            " order by used_at desc, key",
            workspace_id,
            service_id,
        )
        return [KeptLayer(_layer(row), row["service_id"], row["used_at"]) for row in rows]

    async def clear(self, workspace_id: str, service_id: str, now: datetime) -> Freed:
        """Lets none of them be found again; the collection takes the rows once no build can be at them."""
        rows = await self._db.fetch(
            "update dependency_layers set cleared_at = $3 where workspace_id = $1 and cleared_at is null"
            " and ($2 = '' or service_id = $2) returning size_bytes",
            workspace_id,
            service_id,
            now,
        )
        return Freed(len(rows), sum(row["size_bytes"] for row in rows))


def _layer(row: Row) -> Layer:
    return Layer(row["digest"], row["mount"], row["writable"], row["size_bytes"])


class OutboxFacts:
    """Writes build's facts to its outbox."""

    def __init__(self, outbox: Outbox, encode: Callable[[BuildFact], NewFact]) -> None:
        self._outbox = outbox
        self._encode = encode

    async def record(self, fact: BuildFact) -> None:
        """Writes one fact into the running transaction."""
        await self._outbox.record(self._encode(fact))

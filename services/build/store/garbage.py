"""What may go from the tables of build. Every method removes one batch and says how many rows went; 0: nothing left."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from libs.db import Database
from services.build.app.keeping import Collected, DiskUse, Keep, Told
from services.build.app.ports import Freed

BATCH: Final = 5_000
LOG_BATCH: Final = 10_000
_FINAL: Final = "state in ('succeeded', 'failed', 'cancelled')"
_RETIRED: Final = "select service_id from retired_services"
# $1 to $4: what deploy needs, column by column; $5: begin of the window; $6: successful builds kept before it.
_WITH: Final = (
    "with needed as ("  # noqa: S608 - constants
    "select n.* from unnest($1::text[], $2::text[], $3::text[], $4::boolean[])"
    " as n(artifact_digest, snapshot_id, service_id, running)"
    f" where n.running or n.service_id not in ({_RETIRED})"
    "), kept as ("
    "select id, snapshot_id, artifact_digest from (select b.*, row_number() over"
    " (partition by service_id, environment_id, state order by created_at desc, id desc) as place from builds b) b"
    f" where not {_FINAL} or (service_id not in ({_RETIRED})"
    " and (finished_at >= $5 or (state = 'succeeded' and place <= $6)))"
    ") "
)


class PostgresGarbage:
    """Removes rows of every table of build but the facts'."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def logs(self, keep: Keep) -> int:
        """Lines of builds that ended before logs are kept, or whose service is gone."""
        return await self._db.execute(
            "delete from build_logs where (build_id, number) in (select l.build_id, l.number"  # noqa: S608 - constants
            f" from builds b join build_logs l on l.build_id = b.id where b.{_FINAL} and (b.finished_at < $1"
            f" or (b.finished_at < $2 and b.service_id in ({_RETIRED}))) limit {LOG_BATCH})",
            keep.logs_since,
            keep.touched_since,
        )

    async def builds(self, keep: Keep) -> int:
        """Ended builds that no rollback needs, once their logs are gone."""
        return await self._db.execute(
            f"{_WITH} delete from builds where {_FINAL} and id in (select b.id from builds b where b.{_FINAL}"  # noqa: S608 - constants
            f" and (b.finished_at < $7 or (b.finished_at < $8 and b.service_id in ({_RETIRED})))"
            " and not exists (select from kept k where k.id = b.id)"
            " and not exists (select from needed n"
            " where n.artifact_digest = b.artifact_digest and n.artifact_digest <> '' and n.running)"
            " and not exists (select from build_logs l where l.build_id = b.id)"
            f" limit {BATCH})",
            *_given(keep),
            min(keep.since, keep.logs_since),
            keep.touched_since,
        )

    async def artifacts(self, keep: Keep) -> int:
        """Artifacts that nothing runs, no rollback needs, and nobody made or asked for a moment ago."""
        # The age is looked at twice: the outer look sees a row again that was touched while this waited for it.
        return await self._db.execute(
            f"{_WITH} delete from artifacts where used_at < $7 and digest = any(array("  # noqa: S608 - constants
            "select a.digest from artifacts a where a.used_at < $7"
            " and not exists (select from needed n where n.artifact_digest = a.digest)"
            " and not exists (select from kept k where k.artifact_digest = a.digest)"
            f" limit {BATCH}))",
            *_given(keep),
            keep.touched_since,
        )

    async def snapshots(self, keep: Keep) -> int:
        """Sources that nothing will build (again)."""
        return await self._db.execute(
            f"{_WITH} delete from snapshots where id = any(array(select s.id from snapshots s where"  # noqa: S608 - constants
            f" (s.created_at < $7 or (s.created_at < $8 and s.service_id in ({_RETIRED})))"
            " and not exists (select from needed n where n.snapshot_id = s.id)"
            " and not exists (select from kept k where k.snapshot_id = s.id)"
            f" limit {BATCH}))",
            *_given(keep),
            keep.uploaded_since,
            keep.touched_since,
        )

    async def layers(self, keep: Keep) -> int:
        """Dependencies that no build has used for long, and those cleared before anything under way began."""
        return await self._db.execute(
            "delete from dependency_layers where used_at < $1 or greatest(cleared_at, used_at) < $2"
            " and cleared_at is not null",
            keep.layers_since,
            keep.begun_since,
        )

    async def services(self, keep: Keep) -> int:
        """Deleted services of which nothing is left."""
        return await self._db.execute(
            "delete from retired_services r where r.retired_at < $1"
            " and not exists (select from builds b where b.service_id = r.service_id)"
            " and not exists (select from snapshots s where s.service_id = r.service_id)",
            min(keep.since, keep.logs_since),
        )

    async def references(self) -> set[str]:
        """Digests of all blobs that a row speaks of, artifacts' own included."""
        rows = await self._db.fetch(
            "select digest from snapshots union select digest from artifacts union select digest from dependency_layers"
            " union select provenance_digest from artifacts where provenance_digest <> ''"
            " union select provenance_digest from builds where provenance_digest <> ''"
            " union select layer ->> 'digest' from artifacts, jsonb_array_elements(manifest -> 'layers') as layer"
            " union select sbom_digest from scans where sbom_digest <> ''"
        )
        return {row["digest"] for row in rows}

    async def holders(self) -> set[str]:
        """What an image stays for: ids of all builds, and references of images that artifacts consist of."""
        rows = await self._db.fetch(
            "select id as name from builds union"
            " select manifest -> 'image' ->> 'reference' from artifacts where manifest ? 'image'"
        )
        return {row["name"] for row in rows}

    async def began(self) -> datetime:
        """When these tables were made; a dump that is restored brings the time of the first ones along."""
        began: datetime = await self._db.fetchval("select min(applied_at) from migrations")
        return began


def _given(keep: Keep) -> tuple[list[str], list[str], list[str], list[bool], datetime, int]:
    needed = keep.needed
    return (
        [one.artifact_digest for one in needed],
        [one.snapshot_id for one in needed],
        [one.service_id for one in needed],
        [one.running for one in needed],
        keep.since,
        keep.count,
    )


class PostgresCollections:
    """The table `collections`: one row."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def save(self, told: Told) -> None:
        """Keeps it in place of the one before."""
        report = {
            "items": [[one.what, one.freed.count, one.freed.bytes, one.why] for one in told.items],
            "disk": [told.disk.total, told.disk.free],
            "pressed": told.pressed,
            "unknown": list(told.unknown),
        }
        await self._db.execute(
            "insert into collections (single, at, report) values (true, $1, $2)"
            " on conflict (single) do update set at = excluded.at, report = excluded.report",
            told.at,
            report,
        )

    async def last(self) -> Told | None:
        """The last one; None before the first."""
        row = await self._db.fetchrow("select at, report from collections")
        if row is None:
            return None
        report = row["report"]
        items = tuple(Collected(what, Freed(count, size), why) for what, count, size, why in report["items"])
        return Told(
            row["at"], items, DiskUse(*report["disk"]), pressed=report["pressed"], unknown=tuple(report["unknown"])
        )

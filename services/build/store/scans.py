"""Reports of scans in PostgreSQL."""

from __future__ import annotations

from libs.db import Database
from libs.scan.report import Report, report_of


class PostgresReports:
    """The table `scans`: a report goes with its build."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def keep(self, build_id: str, report: Report) -> None:
        """Keeps the build's report over one of an earlier attempt; nothing when the build is gone."""
        await self._db.execute(
            "insert into scans (build_id, sbom_digest, report) select id, $2, $3 from builds where id = $1"
            " on conflict (build_id) do update set sbom_digest = excluded.sbom_digest, report = excluded.report",
            build_id,
            report.sbom.digest,
            report.document(),
        )

    async def get(self, build_id: str) -> Report | None:
        """The build's report."""
        found = await self._db.fetchval("select report from scans where build_id = $1", build_id)
        return None if found is None else report_of(found)

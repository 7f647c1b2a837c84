"""Migrations: numbered SQL files, each applied once, in one transaction, by one process at a time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from libs.kernel.errors import Conflict, Invalid

_NAME: Final = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
LOCK_TIMEOUT: Final = "5s"


async def migrate(connection: Any, schema: str, folders: Sequence[Path]) -> list[str]:  # noqa: ANN401 - a pooled or plain asyncpg connection
    """Applies what is missing in `schema`, in order of the folders, then of the numbers; names what it applied.

    Conflict when a file that was applied has changed since.
    """
    await connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT}'")
    await connection.execute("select pg_advisory_lock(hashtext($1))", f"migrate:{schema}")
    try:
        await connection.execute(
            "create table if not exists migrations ("
            "name text primary key, checksum text not null, applied_at timestamptz not null default now())"
        )
        known = {
            row["name"]: row["checksum"] for row in await connection.fetch("select name, checksum from migrations")
        }
        applied = []
        for folder in folders:
            for path in _files(folder):
                name = f"{folder.parent.name}/{path.name}"
                text = path.read_text()
                checksum = hashlib.sha256(text.encode()).hexdigest()
                if name in known:
                    if known[name] != checksum:
                        raise Conflict(
                            f"Migration {name} changed after it was applied.", hint="Add a new file instead."
                        )
                    continue
                async with connection.transaction():
                    await connection.execute(text)
                    await connection.execute("insert into migrations (name, checksum) values ($1, $2)", name, checksum)
                applied.append(name)
        return applied
    finally:
        await connection.execute("select pg_advisory_unlock(hashtext($1))", f"migrate:{schema}")
        await connection.execute("reset lock_timeout")


def _files(folder: Path) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.suffix == ".sql")
    wrong = [path.name for path in files if not _NAME.match(path.name)]
    if wrong:
        raise Invalid(f"Migrations are named NNNN_name.sql; these are not: {', '.join(wrong)}.")
    numbers = [path.name[:4] for path in files]
    if len(set(numbers)) != len(numbers):
        raise Invalid(f"Two migrations in {folder} have the same number.")
    return files

"""`lr platform collect`: what nobody needs any more."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from libs.cli import screen, session
from libs.cli.session import Json
from libs.kernel.errors import Invalid
from libs.kernel.units import show_bytes


async def collect(
    *,
    dry_run: Annotated[bool, Parameter(negative="")] = False,
    last: Annotated[bool, Parameter(negative="")] = False,
    as_json: Json = False,
) -> int:
    """Remove what nobody needs any more, now; the platform does so by itself every few minutes. For operators.

    Parameters
    ----------
    dry_run
        Only say what would go.
    last
        Only show what the last collection removed.
    """
    if dry_run and last:
        raise Invalid("--dry-run says what would go now, --last what went: choose one.")
    async with session.connect() as client:
        found = await (client.collection() if last else client.collect(dry_run=dry_run))
    if as_json:
        screen.emit(found)
        return 0
    if found.items:
        screen.table(
            ("WHAT", "COUNT", "SIZE", "WHY"),
            [(one.what, f"{one.count:,}", show_bytes(one.bytes) if one.bytes else "", one.why) for one in found.items],
        )
    freed = show_bytes(sum(one.bytes for one in found.items))
    verb = "Would free" if found.dry_run else "Freed"
    disk = f"{show_bytes(found.disk_free_bytes)} of {show_bytes(found.disk_total_bytes)} are free"
    screen.say(f"{screen.moment(found.at)}: {verb} {freed}; {disk}.")
    if found.pressed:
        screen.say("The disk was above its high watermark, so more went than usual.")
    if found.unknown:
        screen.say(
            f"{len(found.unknown)} artifacts run that the builder does not know, so no blob is removed."
            " Restore both databases from one backup, or deploy those services again."
        )
    return 0

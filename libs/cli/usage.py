"""`lr usage`: what was used, and what it costs."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from cyclopts import Parameter

from libs.cli import screen, session, target
from libs.cli.session import Json
from libs.kernel.units import GIB, show_bytes

_MICRO: Final = 1_000_000
_HOUR: Final = 3600


async def usage(
    *,
    everything: Annotated[bool, Parameter(name="--all", negative="")] = False,
    since: datetime | None = None,
    until: datetime | None = None,
    as_json: Json = False,
) -> int:
    """Show what the linked project used this month.

    Parameters
    ----------
    everything
        All projects of the workspace.
    since
        From this day or time on, as in 2026-01-31.
    until
        Up to this day or time.
    """
    async with session.connect() as client:
        project_id = "" if everything else (await target.find(client)).project_id
        found = await client.usage(project_id=project_id, start=_aware(since), end=_aware(until))
        names: dict[str, str] = {}
        if not as_json:
            for owner in {row.project_id for row in found.items}:
                names |= {service.id: service.name for service in await client.services(owner)}
    if as_json:
        screen.emit(found)
        return 0
    screen.say(f"{screen.moment(found.start)} to {screen.moment(found.end)}")
    screen.table(
        ("SERVICE", "CPU", "MEMORY", "EGRESS", "COST"),
        [
            (
                names.get(row.service_id, row.service_id),
                f"{row.cpu_microseconds / _MICRO / 60:.2f} vCPU-min",
                f"{row.memory_byte_seconds / GIB / _HOUR:.3f} GiB-h",
                show_bytes(row.egress_bytes),
                _dollars(row.cost_micro_usd),
            )
            for row in found.items
        ],
    )
    screen.say(f"Together {_dollars(found.total_micro_usd)}")
    return 0


def _dollars(amount: int) -> str:
    return f"${amount / _MICRO:.4f}"


def _aware(time: datetime | None) -> datetime | None:
    """A day or time without a zone is one of this machine's."""
    return time.astimezone() if time is not None and time.tzinfo is None else time

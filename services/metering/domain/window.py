"""Which minutes a question is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from libs.kernel.errors import Invalid

LONGEST: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Window:
    """The minutes that begin at or after `start` and before `end`: windows side by side share none."""

    start: datetime
    end: datetime


def window(start: datetime | None, end: datetime | None, now: datetime) -> Window:
    """Returns the window asked for; unset ends mean the start of this month, and now. Invalid when it is impossible."""
    first = start or now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    last = end or now
    if first > last:
        raise Invalid("The start is after the end.", field="start")
    if last - first > LONGEST:
        raise Invalid(f"At most {LONGEST.days} days at once.", field="start", hint="Ask for one month at a time.")
    return Window(first, last)

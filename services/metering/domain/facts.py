"""What metering tells the other services."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class MinuteRecorded:
    """New use was stored under this minute."""

    minute: datetime
    # Places that used something.
    samples: int

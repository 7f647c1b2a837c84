"""Settings of metering."""

from __future__ import annotations

from dataclasses import dataclass

from libs.config import setting
from libs.kernel.errors import Invalid


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise Invalid(f"“{text}” is not above zero")
    return number


@dataclass(frozen=True, slots=True)
class Settings:
    """Read once, by main."""

    period_seconds: float = setting(
        "LIGHTRAIL_METERING_PERIOD_SECONDS",
        default=60.0,
        parse=_positive,
        doc="seconds between two looks at the counters; a process that lives shorter may go unseen",
    )
    retention_days: float = setting(
        "LIGHTRAIL_METERING_RETENTION_DAYS",
        default=100.0,
        parse=_positive,
        doc="days that samples are kept; usage older than this cannot be asked for",
    )

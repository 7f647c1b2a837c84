"""Windows of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from libs.kernel.errors import Invalid
from services.metering.domain.window import LONGEST, Window, window

NOW = datetime(2026, 11, 20, 12, 34, 56, 789, tzinfo=UTC)
MONTH = datetime(2026, 11, 1, tzinfo=UTC)


def test_unset_means_this_month_until_now() -> None:
    assert window(None, None, NOW) == Window(MONTH, NOW)


def test_what_is_asked_is_taken() -> None:
    assert window(MONTH, MONTH, NOW) == Window(MONTH, MONTH)
    assert window(NOW - LONGEST, None, NOW) == Window(NOW - LONGEST, NOW)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (NOW, MONTH),
        (NOW + timedelta(seconds=1), None),
        (None, MONTH - timedelta(seconds=1)),
        (NOW - LONGEST - timedelta(seconds=1), None),
        (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_impossible_windows_are_refused(start: datetime | None, end: datetime | None) -> None:
    with pytest.raises(Invalid) as caught:
        window(start, end, NOW)
    assert caught.value.field == "start"

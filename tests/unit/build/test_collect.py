from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.config import load
from libs.kernel.errors import Invalid
from services.build.app.collect import over
from services.build.app.ports import Cache
from services.build.config import Settings

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CACHES = st.lists(
    st.builds(
        lambda workspace, name, size, hours: Cache(workspace, name, size, BEGIN + timedelta(hours=hours)),
        st.sampled_from(["wsp_1", "wsp_2", "wsp_3"]),
        st.sampled_from(["uv", "npm", "pip"]),
        st.integers(0, 100),
        st.integers(0, 50),
    ),
    max_size=9,
)


@given(caches=CACHES, most=st.integers(0, 500))
def test_what_stays_fits_and_was_used_no_earlier_than_what_goes(caches: list[Cache], most: int) -> None:
    gone = over(caches, most)
    left = list(caches)
    for cache in gone:
        left.remove(cache)
    assert sum(cache.size_bytes for cache in left) <= most
    assert all(out.used_at <= kept.used_at for out in gone for kept in left)
    # Nothing goes without need: with the last one back it would be too much.
    assert not gone or sum(cache.size_bytes for cache in left) + gone[-1].size_bytes > most


def settings(**given: str) -> Settings:
    return load(Settings, {"LIGHTRAIL_HOME": "/nowhere", "LIGHTRAIL_PROVENANCE_KEY_FILE": "/nowhere/key", **given})


def test_the_window_is_ten_builds_and_fourteen_days_and_caches_take_five_gib_unless_said_otherwise() -> None:
    default = settings()
    assert (default.keep_count, default.keep_days, default.log_days) == (10, 14, 30)
    assert default.cache_bytes == 5 * 1024**3
    assert default.collect_period == 600
    assert settings(LIGHTRAIL_BUILD_KEEP_COUNT="3", LIGHTRAIL_BUILD_CACHE_BYTES="1GiB").keep_count == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LIGHTRAIL_BUILD_KEEP_COUNT", "-1"),
        ("LIGHTRAIL_BUILD_KEEP_DAYS", "-14"),
        ("LIGHTRAIL_BUILD_KEEP_DAYS", "two"),
        ("LIGHTRAIL_LOG_DAYS", ""),
        ("LIGHTRAIL_BUILD_COLLECT_PERIOD_SECONDS", "0"),
        ("LIGHTRAIL_BUILD_COLLECT_PERIOD_SECONDS", "nan"),
        ("LIGHTRAIL_BUILD_COLLECT_PERIOD_SECONDS", "soon"),
    ],
)
def test_a_window_that_would_lose_everything_is_refused(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=name):
        settings(**{name: value})

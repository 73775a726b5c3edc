"""When quota windows open again."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.scheduling.quota import day_end

PACIFIC = ZoneInfo("America/Los_Angeles")


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        (datetime(2026, 3, 7, tzinfo=PACIFIC), 24),
        (datetime(2026, 3, 8, tzinfo=PACIFIC), 23),
        (datetime(2026, 3, 9, tzinfo=PACIFIC), 24),
        (datetime(2026, 10, 31, tzinfo=PACIFIC), 24),
        (datetime(2026, 11, 1, tzinfo=PACIFIC), 25),
        (datetime(2026, 11, 2, tzinfo=PACIFIC), 24),
    ],
    ids=lambda value: f"{value:%Y-%m-%d}" if isinstance(value, datetime) else str(value),
)
def test_a_day_has_the_hours_that_its_zone_gives_it(day: datetime, hours: int) -> None:
    """The day the clocks go forward has 23 hours, the day they go back has 25; midnight is where it is on the wall."""
    start = day.timestamp()

    assert day_end(start, PACIFIC) - start == hours * 3600
    assert day_end(start + hours * 3600 - 1, PACIFIC) == start + hours * 3600


@pytest.mark.parametrize("hour", range(25))
def test_each_hour_of_the_longest_day_ends_with_it(hour: int) -> None:
    """The hour that comes twice belongs to the same day both times."""
    start = datetime(2026, 11, 1, tzinfo=PACIFIC).timestamp()

    assert day_end(start + hour * 3600, PACIFIC) == start + 25 * 3600


def test_days_end_at_the_providers_midnight_not_at_ours() -> None:
    """Eight in the morning of UTC's summer is one o'clock on the Pacific coast: the day has just begun there."""
    now = datetime.fromisoformat("2026-07-01T08:00:00+00:00")

    end = datetime.fromtimestamp(day_end(now.timestamp(), PACIFIC), PACIFIC)

    assert end == datetime(2026, 7, 2, tzinfo=PACIFIC)


def test_where_the_clocks_are_never_changed_all_days_are_alike() -> None:
    """A year of UTC's days has 24 hours each."""
    utc = ZoneInfo("UTC")
    end = day_end(datetime(2026, 1, 1, 5, 30, tzinfo=utc).timestamp(), utc)

    for _ in range(365):
        assert end % 86400 == 0
        assert day_end(end, utc) == end + 86400
        end += 86400


@given(st.integers(0, 4_000_000_000), st.sampled_from(["America/Los_Angeles", "UTC", "Asia/Kolkata", "Europe/Lisbon"]))
def test_the_end_of_a_day_is_the_first_instant_of_the_next(now: int, name: str) -> None:
    """It lies ahead, by no more than the longest day, on another date than now, and a second before it is today."""
    zone = ZoneInfo(name)

    end = day_end(now, zone)

    today = datetime.fromtimestamp(now, zone).date()
    assert now < end <= now + 25 * 3600
    assert datetime.fromtimestamp(end, zone).date() == today + timedelta(days=1)
    assert datetime.fromtimestamp(end - 1, zone).date() == today

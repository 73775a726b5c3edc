"""What batch work leaves to the bands above it."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.scheduling.demand import SEEN, Demand
from synapse.scheduling.quota import DAY, MINUTE

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
"""The beginning of a minute."""
WINDOWS = pytest.mark.parametrize("window", [MINUTE, DAY], ids=["minute", "day"])


def seen(*amounts: int, window: float = MINUTE, now: float = NOW) -> Demand:
    """Return the demand of those who used some of each window, the last of which begins now."""
    demand = Demand(window)
    for back, amount in zip(range(len(amounts), 0, -1), amounts, strict=True):
        demand.used(now - (back - 1) * window, amount)
    return demand


@WINDOWS
def test_with_nobody_there_nothing_is_kept(window: float) -> None:
    """Batch work may have it all, at once and in a window."""
    demand = Demand(window)

    assert not demand.there(NOW)
    assert demand.kept(NOW, 100, 0.2) == 0
    assert demand.kept_at_once(NOW, 100, 0.2) == 0


@WINDOWS
@pytest.mark.parametrize("offset", [0.0, 1.0, 700.0, 1439.0, 50_000.0])
def test_one_is_kept_for_ten_minutes_after_somebody_was_seen(window: float, offset: float) -> None:
    """However little was used; whenever that was."""
    at = NOW + offset
    demand = seen(1, window=window, now=at)

    for later in (0.0, 59.0, 61.0, 300.0, 599.0):
        assert demand.there(at + later)
        assert demand.kept(at + later, 100, 0.2) == 1
    assert not demand.there(at + SEEN)
    assert demand.kept(at + SEEN, 100, 0.2) == 0


def test_as_much_is_kept_as_was_used_of_the_last_windows() -> None:
    """The most of any of them; what is being used now is no longer kept."""
    demand = seen(3, 12, 5, 0)
    demand.used(NOW + 60, 0)

    assert demand.kept(NOW + 60, 1000, 0.2) == 12
    demand.used(NOW + 61, 7)
    assert demand.kept(NOW + 61, 1000, 0.2) == 5
    demand.used(NOW + 62, 5)
    assert demand.kept(NOW + 62, 1000, 0.2) == 1
    assert demand.kept(NOW + 62 + 61, 1000, 0.2) == 12


def test_what_was_used_long_ago_is_not_kept() -> None:
    """Five windows are looked back at."""
    demand = seen(50)

    for minutes in range(1, 6):
        demand.used(NOW + minutes * 60, 2)
        assert demand.kept(NOW + minutes * 60 + 59, 1000, 0.2) == 50 - 2
    demand.used(NOW + 6 * 60, 2)
    demand.used(NOW + 7 * 60, 2)
    assert demand.kept(NOW + 7 * 60 + 59, 1000, 0.2) == 1


@pytest.mark.parametrize(("whole", "share", "kept"), [(100, 0.2, 20), (100, 0.5, 40), (4, 0.2, 1), (100, 0.0, 1)])
def test_no_more_than_a_share_of_the_whole_is_kept(whole: float, share: float, kept: float) -> None:
    """But one, where the share is less than that."""
    demand = seen(40)

    assert demand.kept(NOW + 61, whole, share) == kept


def test_a_day_is_kept_as_a_minute_is() -> None:
    """What was used today is behind; yesterday's is ahead."""
    demand = seen(9, 4, window=DAY, now=datetime(2026, 7, 1, tzinfo=UTC).timestamp())
    evening = datetime(2026, 7, 1, 23, 59, tzinfo=UTC).timestamp()
    demand.used(evening, 1)

    assert demand.kept(evening, 1000, 0.2) == 4


def test_as_many_are_kept_at_once_as_ran_at_once() -> None:
    """The most of the last windows; what runs now is no longer kept."""
    demand = Demand(MINUTE)
    for _ in range(6):
        demand.sent(NOW)
    assert demand.kept_at_once(NOW, 100, 0.2) == 1
    for _ in range(6):
        demand.answered()

    assert demand.kept_at_once(NOW + 59, 100, 0.2) == 6
    demand.sent(NOW + 61)
    demand.sent(NOW + 61)
    assert demand.kept_at_once(NOW + 61, 100, 0.2) == 4
    assert demand.kept_at_once(NOW + 61, 100, 0.03) == 1


@pytest.mark.parametrize(("whole", "kept"), [(1, 0), (2, 1), (100, 1), (math.inf, 1)])
def test_not_all_that_may_run_at_once_is_kept(whole: float, kept: float) -> None:
    """What runs ends: batch work may run where there is but one place."""
    demand = Demand(MINUTE)
    demand.sent(NOW)
    demand.answered()

    assert demand.kept_at_once(NOW, whole, 1.0) == kept


def test_it_is_told_when_less_may_be_kept() -> None:
    """At the end of a window, and when nobody is there any more."""
    demand = seen(5)

    assert demand.changes_at(NOW + 7) == NOW + 60
    assert demand.changes_at(NOW + 60) == NOW + 120
    assert demand.changes_at(NOW + 599) == NOW + 600
    late = seen(5, now=NOW + 30)
    assert late.changes_at(NOW + 601) == NOW + 30 + SEEN


@given(
    uses=st.lists(st.tuples(st.floats(0, 400), st.integers(1, 50)), max_size=60),
    whole=st.integers(1, 200),
    share=st.floats(0, 1),
)
def test_what_is_kept_stays_within_its_bounds(uses: list[tuple[float, int]], whole: int, share: float) -> None:
    """At least one, and no more than the share, nor than what was used in the length of a window."""
    demand, now, used = Demand(MINUTE), NOW, []
    for gap, amount in uses:
        now += gap
        demand.used(now, amount)
        used.append((now, amount))
        most = max(sum(n for at, n in used if end - 62 < at <= end) for end, _ in used)

        assert 1 <= demand.kept(now, whole, share) <= max(1.0, min(share * whole, most))

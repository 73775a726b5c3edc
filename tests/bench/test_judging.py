"""The arithmetic behind the verdicts: where it were wrong, a run would say nothing."""

from __future__ import annotations

from math import inf

import pytest

from acceptance.calls import Call
from acceptance.judging import (
    Refusals,
    alternation,
    estimate_error,
    idle_waits,
    limits_met_at,
    optimum,
    refusals,
    spare_shares,
)
from synapse.simulator import Quota, QuotaStats, Stats, Window

MINUTE_OF_CLOCK = 1_800_000_000.0
"""A full one."""


def stats(*times: tuple[float, ...], started_at: float = MINUTE_OF_CLOCK) -> Stats:
    """Return what a simulator would tell of projects that were refused at these times."""
    rows = [QuotaStats(f"p{n}", "m", Quota(), {}, len(at), {}, at) for n, at in enumerate(times)]
    return Stats(0, 0, 0, 0, 0, (), sum(map(len, times)), tuple(rows), started_at)


@pytest.mark.parametrize(
    ("total", "into", "seconds"),
    [(1, 0, 0), (90, 0, 0), (91, 0, 60), (180, 0, 60), (181, 0, 120), (180, 0.25, 59.75), (90, 30, 0)],
)
def test_the_optimum_fills_each_minute_as_it_opens(total: int, into: float, seconds: float) -> None:
    """What fits into the first goes at once; of a minute of the clock a part may have passed."""
    assert optimum(total, 90, into) == seconds


def test_refusals_are_told_apart_by_first_contact_and_later_minutes() -> None:
    """Each project's first minute of refusals is its own; of the others the worst counts."""
    seen = refusals(stats((5, 6, 7, 70), (100, 170, 171, 300)), Window.TRAILING)

    assert seen == Refusals(total=8, first=3, worst=2)


@pytest.mark.parametrize(
    ("window", "worst"),
    [(Window.FIXED, 1), (Window.TRAILING, 2)],
)
def test_a_later_minute_is_the_clocks_or_any(window: Window, worst: int) -> None:
    """Two refusals on both sides of a full minute are in one trailing minute, and in two of the clock's."""
    assert refusals(stats((0.0, 119.0, 121.0)), window).worst == worst


def test_minutes_of_the_clock_are_those_of_the_day_not_of_the_start() -> None:
    """A simulator that began in the middle of one is no exception."""
    seen = refusals(stats((1.0, 29.0, 31.0), started_at=MINUTE_OF_CLOCK + 30), Window.FIXED)

    assert (seen.first, seen.worst) == (2, 1)


def test_the_fullest_minute_is_found_wherever_it_begins() -> None:
    """Not only at multiples of sixty seconds."""
    assert refusals(stats((0.0, 70.0, 125.0, 126.0, 127.0, 250.0)), Window.TRAILING).worst == 4


def test_without_refusals_there_are_none() -> None:
    """Neither at first contact nor later."""
    assert refusals(stats((), ()), Window.FIXED) == Refusals()


def waited(told: float | None, wait: float, *, failure: str | None = None) -> Call:
    """Return a call that was told a time, and then waited another; its answer took a second to begin."""
    estimates = [] if told is None else [(10.0, told), (15.0, wait - 5.0)]
    return Call(estimates=estimates, began=11.0 + wait, ended=12.0 + wait, failure=failure)


def test_the_error_of_estimates_is_the_median_relative_to_the_wait() -> None:
    """Of those who were told one and were answered."""
    calls = [
        waited(50.0, 50.0),
        waited(45.0, 50.0),
        waited(60.0, 50.0),
        waited(None, 50.0),
        waited(99.0, 1.0, failure="no"),
    ]

    assert estimate_error(calls, latency=1.0) == pytest.approx(0.1)


def test_estimates_count_from_when_the_limits_could_be_known() -> None:
    """Then the first one told after that is the first."""
    assert estimate_error([waited(5.0, 50.0)], latency=1.0) == pytest.approx(0.9)
    assert estimate_error([waited(5.0, 50.0)], latency=1.0, since=12.0) == 0.0
    assert estimate_error([waited(5.0, 50.0)], latency=1.0, since=16.0) is None


def test_limits_are_known_when_each_has_been_met() -> None:
    """The last of the first refusals tells; a project that was never refused has nothing to tell."""
    assert limits_met_at(stats((5.0, 70.0), (), (9.0,))) == MINUTE_OF_CLOCK + 9.0
    assert limits_met_at(stats((), ())) == -inf


def test_a_short_wait_counts_as_a_second() -> None:
    """Half a second too late is no error of infinity."""
    assert estimate_error([waited(0.0, 0.5)], latency=1.0) == pytest.approx(0.5)


def test_nobody_told_is_no_estimate() -> None:
    """Not a perfect one."""
    assert estimate_error([waited(None, 5.0)], latency=1.0) is None


def test_an_urgent_task_is_late_from_when_its_permit_was_free() -> None:
    """With one of two permits of the minute free, it could have gone at once."""
    assert idle_waits([(10.0, 13.0)], [0.0, 13.0], capacity=2) == [3.0]


def test_an_urgent_task_is_not_late_while_there_is_no_permit() -> None:
    """The oldest start of the minute makes room for it."""
    assert idle_waits([(10.0, 60.5)], [0.0, 5.0, 60.5], capacity=2) == [0.5]


def test_urgent_tasks_that_came_before_have_the_first_permits() -> None:
    """Each of those that wait has the next one that opens."""
    urgent = [(10.0, 60.0), (11.0, 65.0), (12.0, 125.0)]

    assert idle_waits(urgent, [0.0, 5.0, 60.0, 65.0, 125.0], capacity=2) == [0.0, 0.0, 60.0]


def test_what_was_spare_is_what_the_urgent_left() -> None:
    """Minute by minute, from the first start on."""
    urgent = [100.0, 159.0, 161.0]
    batch = [101.0, 102.0, 103.0, 160.0, 219.0, 221.0]

    assert spare_shares(urgent, batch, capacity=5, minutes=2) == [1.0, 0.5]


@pytest.mark.parametrize(
    ("order", "positions"),
    [("abababab", 0), ("aabababa", 0), ("ababbaab", 1), ("abbbaaab", 2), ("aaabaaab", 2), ("abbbb", 3), ("aaa", 0)],
)
def test_taking_turns_is_every_second_place(order: str, positions: int) -> None:
    """From the first of the name on; early ones count as late ones do."""
    assert alternation(order, "b") == positions

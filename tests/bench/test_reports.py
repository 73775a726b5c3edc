"""Verdicts: a run is good where all holds that must, and the table says what did not."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from acceptance.calls import Call
from acceptance.judging import Refusals
from acceptance.report import (
    Check,
    Report,
    all_succeeded,
    at_least,
    at_most,
    equal,
    estimates_hold,
    failed,
    show,
    windows_kept,
)
from acceptance.windows import LONGEST, SHORTEST, learned, prompt_sizes
from synapse.simulator import Measure, Quota, QuotaStats, Stats

GOOD, BAD = Check("good", ok=True), Check("time: 70, at most 66", ok=False)


@pytest.mark.parametrize(
    ("check", "ok"),
    [
        (at_most("x", 66.0, 66.0), True),
        (at_most("x", 66.1, 66.0), False),
        (at_least("x", 0.95, 0.95), True),
        (at_least("x", 0.94, 0.95), False),
        (equal("x", 3, 3), True),
        (equal("x", 3, 4), False),
        (estimates_hold(0.1), True),
        (estimates_hold(0.11), False),
        (estimates_hold(None), False),
    ],
)
def test_a_figure_is_held_against_its_limit(check: Check, ok: bool) -> None:  # noqa: FBT001 - the expectation
    """The limit itself is allowed; what nobody measured is not."""
    assert check.ok is ok


def test_one_check_that_fails_is_enough() -> None:
    """The others do not make up for it."""
    assert Report(name="x", checks=(GOOD, GOOD)).ok
    assert not Report(name="x", checks=(GOOD, BAD)).ok
    assert not failed("x", "it did not start").ok


def test_every_task_must_be_answered() -> None:
    """The reasons of those that were not are told."""
    good, lost = Call(ended=1.0), Call(ended=1.0, failure="429 no")

    assert all_succeeded([good]).ok
    assert all_succeeded([good, lost]) == Check("1 of 2 tasks failed: 429 no", ok=False)
    assert not all_succeeded([Call()]).ok


def test_a_window_beyond_its_limit_is_named() -> None:
    """Measures without a limit may be as full as they like."""
    full = QuotaStats("p", "m", Quota(rpm=30), {Measure.RPM: 30, Measure.TPM: 999}, 0, {}, ())
    over = QuotaStats("q", "m", Quota(rpm=30), {Measure.RPM: 31}, 0, {}, ())

    assert windows_kept(Stats(0, 0, 0, 0, 0, (), quotas=(full,))).ok
    assert windows_kept(Stats(0, 0, 0, 0, 0, (), quotas=(full, over))).what.endswith("q/m rpm 31")


@pytest.mark.parametrize(("first", "worst", "ok"), [(3, 1, True), (4, 1, False), (3, 2, False), (0, 0, True)])
def test_limits_are_learned_at_a_small_cost(first: int, worst: int, ok: bool) -> None:  # noqa: FBT001 - likewise
    """Three refusals at first contact and one in each later minute, and no more."""
    assert all(check.ok for check in learned(Refusals(9, first, worst))) is ok


def test_prompts_have_all_orders_of_magnitude_and_as_many_tokens_as_asked_for() -> None:
    """The same ones every time."""
    sizes = prompt_sizes(1_200_000)

    assert sizes == prompt_sizes(1_200_000)
    assert 1_200_000 - LONGEST < sum(sizes) <= 1_200_000
    assert min(sizes) >= SHORTEST
    assert max(sizes) <= LONGEST
    assert all(any(low <= size < 10 * low for size in sizes) for low in (10, 100, 1000, 10_000))


def test_the_table_has_a_line_for_each_run_and_what_did_not_hold() -> None:
    """With times and ratios where there is an optimum."""
    good = Report(
        name="trailing",
        checks=(GOOD,),
        tasks=180,
        succeeded=180,
        seconds=63.0,
        optimum=60.0,
        estimate_error=0.021,
        refusals=Refusals(4, 3, 1),
    )
    output = io.StringIO()

    show([good, Report(name="chaos", checks=(BAD,))], Console(file=output, width=160))

    text = output.getvalue()
    line = next(line for line in text.splitlines() if "trailing" in line)
    cells = [cell.strip() for cell in line.strip("│ ").split("│")]
    assert cells == ["trailing", "180", "180", "4", "3", "1", "63.0", "60.0", "1.05", "2.1%", "ok"]
    assert "FAILED" in text
    assert "chaos: time: 70, at most 66" in text
    assert "good" not in text

"""Window arithmetic: plain functions of what was used and the time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulator import Measure, Options, Quota, Window
from synapse.simulator.accounts import Accounts, Admission
from synapse.simulator.quota import Spending, Violation, expire, midnight_after, record, violations

PACIFIC = "America/Los_Angeles"
NOON = datetime(2026, 3, 2, 12, tzinfo=ZoneInfo(PACIFIC)).timestamp()
"""A full minute, far from any midnight."""


def begin(limits: Quota, window: Window) -> Accounts:
    """Return accounts with nothing used."""
    return Accounts(Options(limits=limits, window=window), NOON)


def admit(quotas: Accounts, now: float, tokens: int = 1, project: str = "project", model: str = "model") -> Admission:
    """Send a request."""
    return quotas.admit(project, model, model, tokens=tokens, zone=PACIFIC, now=now)


def attempt(quotas: Accounts, now: float, tokens: int = 1) -> tuple[Violation, ...]:
    """Send a request; return what it would break."""
    return admit(quotas, now, tokens).violations


def test_what_fits_is_let_in_and_what_exceeds_is_not() -> None:
    """With two requests a minute the third is refused, and it is told which limit it was."""
    quotas = begin(Quota(rpm=2), Window.FIXED)

    assert [attempt(quotas, NOON + second) for second in (0, 1)] == [(), ()]
    assert attempt(quotas, NOON + 20) == (Violation(Measure.RPM, 2, 2, 40.0),)


def test_a_fixed_minute_opens_with_the_clock() -> None:
    """However late in the minute its requests came, the next full minute has room for as many."""
    quotas = begin(Quota(rpm=1), Window.FIXED)

    assert attempt(quotas, NOON + 59) == ()
    assert attempt(quotas, NOON + 59.9) != ()
    assert attempt(quotas, NOON + 60) == ()


def test_a_trailing_minute_opens_sixty_seconds_after_each_request() -> None:
    """A request makes room when it is a minute old, not before."""
    quotas = begin(Quota(rpm=2), Window.TRAILING)
    attempt(quotas, NOON + 10)
    attempt(quotas, NOON + 40)

    assert attempt(quotas, NOON + 69.5)[0].opens_in == 0.5
    assert attempt(quotas, NOON + 70) == ()
    assert attempt(quotas, NOON + 71)[0].opens_in == 29.0


def test_tokens_open_when_enough_of_them_have_left() -> None:
    """A trailing minute has room for a large request only when the requests before it that fill it are a minute old."""
    quotas = begin(Quota(tpm=10), Window.TRAILING)
    attempt(quotas, NOON, 3)
    attempt(quotas, NOON + 5, 4)
    attempt(quotas, NOON + 9, 2)

    assert attempt(quotas, NOON + 10, 8) == (Violation(Measure.TPM, 10, 9, 55.0),)
    assert attempt(quotas, NOON + 65, 8) == ()


def test_a_request_larger_than_the_limit_never_fits() -> None:
    """Its wait is that for an empty window, and it is refused there too."""
    quotas = begin(Quota(tpm=10), Window.TRAILING)

    assert attempt(quotas, NOON, 11)[0].opens_in == 60.0
    assert attempt(quotas, NOON + 60, 11) != ()


def test_refused_requests_are_not_counted() -> None:
    """A caller that tries again and again does not keep the window shut."""
    quotas = begin(Quota(rpm=1, rpd=2), Window.TRAILING)
    attempt(quotas, NOON)
    for second in range(1, 60):
        assert attempt(quotas, NOON + second) != ()

    assert attempt(quotas, NOON + 60) == ()


def test_all_limits_that_break_are_named_at_once() -> None:
    """A request that breaks them all is told of each."""
    quotas = begin(Quota(rpm=1, tpm=5, rpd=1, tpd=5, concurrency=1), Window.FIXED)
    attempt(quotas, NOON, 5)

    assert [violation.measure for violation in attempt(quotas, NOON + 1, 5)] == list(Measure)


@pytest.mark.parametrize("limits", [Quota(rpd=1), Quota(tpd=1)])
def test_a_day_ends_at_midnight_in_its_time_zone(limits: Quota) -> None:
    """The day's requests or tokens are there again at midnight Pacific, not at midnight UTC."""
    quotas = begin(limits, Window.FIXED)
    attempt(quotas, NOON)
    midnight = datetime(2026, 3, 3, tzinfo=ZoneInfo(PACIFIC)).timestamp()

    assert attempt(quotas, NOON + 3600)[0].opens_in == midnight - NOON - 3600
    assert attempt(quotas, midnight - 1) != ()
    assert attempt(quotas, midnight) == ()


@pytest.mark.parametrize(("day", "hours"), [((2026, 3, 8), 23), ((2026, 11, 1), 25), ((2026, 7, 1), 24)])
def test_days_on_which_the_clock_changes_are_shorter_or_longer(day: tuple[int, int, int], hours: int) -> None:
    """Midnight is where the calendar has it, however long the day was."""
    zone = ZoneInfo(PACIFIC)
    begin = datetime(*day, tzinfo=zone).timestamp()

    assert midnight_after(begin, zone) == begin + hours * 3600
    assert midnight_after(begin + hours * 3600 - 1, zone) == begin + hours * 3600


def test_projects_and_models_have_quotas_of_their_own() -> None:
    """What one project used of one model concerns no other."""
    quotas = begin(Quota(rpm=1), Window.FIXED)
    admit(quotas, NOON)

    assert admit(quotas, NOON, model="other").violations == ()
    assert admit(quotas, NOON, project="other").violations == ()
    assert admit(quotas, NOON).violations != ()


def test_a_limit_of_nothing_lets_nothing_in() -> None:
    """A model that is not in the tier refuses the first request."""
    assert attempt(begin(Quota(rpm=0), Window.TRAILING), NOON)[0].limit == 0


def test_without_limits_nothing_is_kept() -> None:
    """A simulator without quotas says yes and tells of no limits."""
    quotas = begin(Quota(), Window.FIXED)

    assert admit(quotas, NOON) == Admission()
    assert quotas.stats() == ()


def test_the_standing_tells_what_is_left_and_when_all_of_it_is_back() -> None:
    """Of requests and tokens alike."""
    quotas = begin(Quota(rpm=3, tpm=100), Window.TRAILING)
    admit(quotas, NOON, 30)

    standing = admit(quotas, NOON + 10, 30).standing

    assert standing.requests is not None
    assert standing.tokens is not None
    assert (standing.requests.remaining, standing.requests.resets_in) == (1, 60.0)
    assert (standing.tokens.remaining, standing.tokens.resets_in) == (40, 60.0)


def test_what_is_under_way_is_limited_until_it_has_ended() -> None:
    """With two requests at once a third is refused, and let in when one of them has left."""
    quotas = begin(Quota(concurrency=2), Window.FIXED)
    first = admit(quotas, NOON)
    admit(quotas, NOON + 3600)

    assert attempt(quotas, NOON + 7200) == (Violation(Measure.CONCURRENCY, 2, 2, 1.0),)
    assert first.account is not None
    first.account.leave()
    assert attempt(quotas, NOON + 7200) == ()


def test_a_day_is_told_where_no_minute_is_limited() -> None:
    """Requests and tokens alike."""
    quotas = begin(Quota(rpd=3, tpd=100), Window.FIXED)

    standing = admit(quotas, NOON, 30).standing

    assert standing.requests is not None
    assert standing.tokens is not None
    assert (standing.requests.remaining, standing.requests.resets_in) == (2, 12 * 3600.0)
    assert (standing.tokens.remaining, standing.tokens.resets_in) == (70, 12 * 3600.0)


@given(
    st.sampled_from(Window),
    st.lists(st.tuples(st.floats(0, 30), st.integers(0, 6)), max_size=40),
)
def test_no_minute_ever_carries_more_than_the_limits(window: Window, requests: list[tuple[float, int]]) -> None:
    """Whatever comes when: the requests let in within any minute keep the limits, and a wait told is long enough."""
    limits = Quota(rpm=3, tpm=10)
    spending = Spending()
    taken: list[tuple[float, int]] = []
    now = NOON
    for gap, tokens in requests:
        now += gap
        expire(spending, window, PACIFIC, now)
        broken = violations(spending, limits, window, tokens, now)
        if not broken:
            record(spending, tokens, now)
            taken.append((now, tokens))
        opens = now + max((violation.opens_in for violation in broken), default=0) + 1e-6
        expired = msgspec.structs.replace(spending, recent=spending.recent.copy())
        expire(expired, window, PACIFIC, opens)
        assert not broken or violations(expired, limits, window, tokens, opens) == ()

    for first, _ in taken:
        start = first - first % 60 if window is Window.FIXED else first
        within = [tokens for at, tokens in taken if start <= at < start + 60 - 1e-6]
        assert len(within) <= 3
        assert sum(within) <= 10

"""What a project has used of a model, and when it may use more."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.quota import Measure, Quota
from synapse.domain.standing import Use
from synapse.scheduling.account import MARGIN, NEVER, SPAN, Account, Charge
from synapse.scheduling.slow_start import ANSWER

PACIFIC = ZoneInfo("America/Los_Angeles")
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 7, 2, tzinfo=UTC).timestamp()
SMALL = st.integers(1, 6)
GAPS = st.lists(st.tuples(st.sampled_from([0.0, 0.0, 0.0, 0.4, 7.0, 30.0, 61.0]), st.floats(0, 0.999)), max_size=40)
"""For each request how long it comes after it might have, and how long it takes to arrive."""


def account(quota: Quota | None = None, zone: ZoneInfo | None = None) -> Account:
    """Return an account that is not careful about limits it does not know."""
    made = Account("project", "m", quota or Quota(), zone or ZoneInfo("UTC"))
    made.slow_start.over = True
    return made


def opens_at(account: Account, tokens: int, now: float) -> float:
    """Return when a request may go, or now."""
    account.expire(now)
    return max(now, account.opens_at(tokens, now))


def send(account: Account, tokens: int = 1, now: float = NOW) -> Charge:
    """Send a request that may go."""
    assert opens_at(account, tokens, now) == now
    return account.charge(tokens, now)


def most_within(arrivals: list[tuple[float, int]], seconds: float) -> int:
    """Return the most that any trailing window holds."""
    return max(sum(n for at, n in arrivals if end - seconds < at <= end) for end, _ in arrivals)


def most_of_a_minute(arrivals: list[tuple[float, int]], phase: float) -> int:
    """Return the most that any minute by the clock holds, where that begins at a phase."""
    minutes = {(at + phase) // 60.0 for at, _ in arrivals}
    return max(sum(n for at, n in arrivals if (at + phase) // 60.0 == minute) for minute in minutes)


# --- minutes


def test_a_request_counts_for_a_minute_and_a_margin_from_its_sending() -> None:
    """It is a minute at the provider, who may hear of the next one a second sooner after its sending."""
    full = account(Quota(rpm=1))
    send(full)

    assert opens_at(full, 1, NOW) == NOW + 61
    assert opens_at(full, 1, NOW + 60.99) == NOW + 61
    assert opens_at(full, 1, NOW + 61) == NOW + 61
    assert full.requests == 0


def test_as_many_go_at_once_as_a_minute_holds() -> None:
    """The next one goes when the first is forgotten, and the one after it with the second."""
    busy = account(Quota(rpm=3))
    for late in (0, 10, 20):
        send(busy, now=NOW + late)

    assert opens_at(busy, 1, NOW + 20) == NOW + 61
    send(busy, now=NOW + 61)
    assert opens_at(busy, 1, NOW + 61) == NOW + 71


@given(limit=SMALL, gaps=GAPS, phase=st.floats(0, 60))
def test_no_minute_of_the_provider_ever_holds_more_than_the_limit(
    limit: int, gaps: list[tuple[float, float]], phase: float
) -> None:
    """Trailing ones and those by the clock, whenever it starts, where each request takes up to a second to arrive."""
    busy, now, arrivals = account(Quota(rpm=limit)), NOW, []
    for gap, delay in gaps:
        now = opens_at(busy, 1, now) + gap
        send(busy, now=now)
        arrivals.append((now + delay, 1))

    assert not arrivals or most_within(arrivals, 60.0) <= limit
    assert not arrivals or most_of_a_minute(arrivals, phase) <= limit


@given(limit=st.integers(1, 100), sizes=st.lists(st.integers(1, 100), min_size=1, max_size=30), gaps=GAPS)
def test_no_minute_ever_holds_more_tokens_than_the_limit(
    limit: int, sizes: list[int], gaps: list[tuple[float, float]]
) -> None:
    """But for those of a single request that is larger than all of it."""
    busy, now, arrivals = account(Quota(tpm=limit)), NOW, []
    for tokens, (gap, delay) in zip(sizes, gaps, strict=False):
        now = opens_at(busy, tokens, now) + gap
        send(busy, tokens, now)
        arrivals.append((now + delay, tokens))

    assert not arrivals or most_within(arrivals, 60.0) <= max(limit, *(tokens for _, tokens in arrivals))
    for at, tokens in arrivals:
        others = [each for each in arrivals if abs(each[0] - at) < 60.0 and each != (at, tokens)]
        assert tokens <= limit or not others


@given(limit=SMALL, number=st.integers(1, 30))
def test_nothing_is_left_unused(limit: int, number: int) -> None:
    """Sent as soon as may be, as many go as the limit allows in each span, however many there are."""
    busy, now = account(Quota(rpm=limit)), NOW
    for _ in range(number):
        now = opens_at(busy, 1, now)
        send(busy, now=now)

    assert now == NOW + (number - 1) // limit * SPAN


def test_tokens_wait_until_enough_of_them_are_forgotten() -> None:
    """As many as are missing, and no more."""
    busy = account(Quota(tpm=100))
    for late, tokens in ((0, 30), (5, 20), (10, 50)):
        send(busy, tokens, NOW + late)

    assert opens_at(busy, 30, NOW + 10) == NOW + 61
    assert opens_at(busy, 31, NOW + 10) == NOW + 66
    assert opens_at(busy, 50, NOW + 10) == NOW + 66
    assert opens_at(busy, 51, NOW + 10) == NOW + 71


def test_a_request_larger_than_a_whole_window_goes_when_it_is_empty() -> None:
    """The estimate may be wrong, so it is not refused for good; and it does not go beside others."""
    busy = account(Quota(tpm=100))
    assert opens_at(busy, 5000, NOW) == NOW
    send(busy, 1)
    send(busy, 1, NOW + 20)

    assert opens_at(busy, 5000, NOW + 20) == NOW + 20 + SPAN
    send(busy, 5000, NOW + 20 + SPAN)
    assert opens_at(busy, 1, NOW + 20 + SPAN) == NOW + 20 + 2 * SPAN


def test_requests_can_be_asked_for_together() -> None:
    """Two of a minute's three, of a day's three, and at once."""
    for quota, expected in (
        (Quota(rpm=3), NOW + SPAN),
        (Quota(rpd=3), MIDNIGHT),
        (Quota(concurrency=3), ANSWER),
        (Quota(tpm=3), NOW + SPAN),
    ):
        busy = account(quota)
        send(busy)
        send(busy)
        assert busy.opens_at(1, NOW) <= NOW
        assert busy.opens_at(2, NOW, 2) == expected


def test_every_limit_must_have_room() -> None:
    """The last one to open decides."""
    busy = account(Quota(rpm=2, tpm=10))
    send(busy, 9)
    send(busy, 1, NOW + 7)

    assert opens_at(busy, 1, NOW + 7) == NOW + 61
    assert opens_at(busy, 10, NOW + 7) == NOW + 7 + SPAN


@pytest.mark.parametrize("quota", [Quota(rpm=0), Quota(rpd=0)])
def test_of_nothing_there_is_never_any(quota: Quota) -> None:
    """A limit of 0 opens never, used or not."""
    assert opens_at(account(quota), 1, NOW) == NEVER


def test_without_a_limit_of_a_minute_only_so_much_is_remembered() -> None:
    """Enough to learn a limit from, and not all that was ever sent at once; what is limited is remembered whole."""
    free, limited = account(), account(Quota(rpm=9000))
    for _ in range(5000):
        free.charge(1, NOW)
        limited.charge(1, NOW)

    assert len(free.charges) == free.requests == free.tokens == 4096
    assert limited.requests == 5000


# --- what is given back, and corrected


def test_what_is_given_back_may_be_sent_again_at_once() -> None:
    """A refusal costs nothing: neither of the minute nor of the day, neither requests nor tokens."""
    busy = account(Quota(rpm=1, rpd=1, tpm=5, tpd=5))
    charge = send(busy, 5)
    assert opens_at(busy, 5, NOW) == MIDNIGHT

    busy.give_back(charge)

    assert opens_at(busy, 5, NOW) == NOW
    assert [busy.used(measure) for measure in (Measure.RPM, Measure.TPM, Measure.RPD, Measure.TPD)] == [0, 0, 0, 0]


def test_what_is_forgotten_is_not_given_back_a_second_time() -> None:
    """A refusal that comes after a minute changes the day's count alone; after midnight it changes nothing."""
    busy = account(Quota(rpm=5, rpd=5))
    early, late = send(busy, 3), send(busy, 4)
    busy.expire(NOW + SPAN)
    send(busy, 1, NOW + SPAN)

    busy.give_back(early)
    assert (busy.requests, busy.tokens, busy.day_requests, busy.day_tokens) == (1, 1, 2, 5)

    busy.expire(MIDNIGHT)
    busy.give_back(late)
    assert (busy.requests, busy.tokens, busy.day_requests, busy.day_tokens) == (0, 0, 0, 0)


def test_what_the_provider_counted_takes_the_place_of_the_estimate() -> None:
    """More closes the window, less opens it, in the minute and in the day."""
    busy = account(Quota(tpm=100, tpd=1000))
    charge = send(busy, 10)

    busy.correct(charge, 100)
    assert opens_at(busy, 1, NOW) == NOW + SPAN
    assert busy.day_tokens == 100

    busy.correct(charge, 4)
    assert opens_at(busy, 96, NOW) == NOW
    assert (busy.requests, busy.tokens, busy.day_tokens) == (1, 4, 4)


def test_a_correction_that_comes_late_counts_for_the_day() -> None:
    """The minute has forgotten the request."""
    busy = account(Quota(tpm=100, tpd=1000))
    charge = send(busy, 10)
    busy.expire(NOW + SPAN)

    busy.correct(charge, 70)

    assert (busy.tokens, busy.day_tokens) == (0, 70)


# --- days


@pytest.mark.parametrize(
    ("day", "hours"),
    [(datetime(2026, 3, 8), 23), (datetime(2026, 7, 1), 24), (datetime(2026, 11, 1), 25)],  # noqa: DTZ001
    ids=["the clocks go forward", "a plain day", "the clocks go back"],
)
def test_a_day_that_is_used_up_opens_at_midnight_pacific(day: datetime, hours: int) -> None:
    """Whatever the clocks do on it."""
    start = day.replace(tzinfo=PACIFIC).timestamp()
    for quota in (Quota(rpd=1), Quota(tpd=10)):
        busy = account(quota, PACIFIC)
        send(busy, 10, start)

        assert opens_at(busy, 1, start) == start + hours * 3600
        assert opens_at(busy, 1, start + hours * 3600 - 2) == start + hours * 3600
        send(busy, 10, start + hours * 3600)
        assert opens_at(busy, 1, start + hours * 3600) > start + (hours + 22) * 3600


@given(limit=SMALL, gaps=GAPS, before=st.sampled_from([0.5, 3.0, 100.0]))
def test_no_day_of_the_provider_ever_holds_more_than_the_limit(
    limit: int, gaps: list[tuple[float, float]], before: float
) -> None:
    """However long before midnight it begins, and however late requests arrive."""
    busy, now, days = account(Quota(rpd=limit)), MIDNIGHT - before, []
    for gap, delay in gaps:
        now = opens_at(busy, 1, now + gap)
        send(busy, now=now)
        days.append((now + delay) // 86400)

    assert all(days.count(day) <= limit for day in days)


def test_in_a_days_last_moment_nothing_goes() -> None:
    """It might count in the next day; where days are not limited that is no matter."""
    for quota in (Quota(rpd=9), Quota(tpd=9)):
        assert opens_at(account(quota), 1, MIDNIGHT - MARGIN) == MIDNIGHT - MARGIN
        assert opens_at(account(quota), 1, MIDNIGHT - 0.5) == MIDNIGHT
    assert opens_at(account(Quota(rpm=9)), 1, MIDNIGHT - 0.5) == MIDNIGHT - 0.5


def test_a_day_of_tokens_ends_at_midnight() -> None:
    """A request larger than what is left waits for the next day; one larger than all of it begins a day."""
    busy = account(Quota(tpd=100))
    send(busy, 60)

    assert opens_at(busy, 40, NOW) == NOW
    assert opens_at(busy, 41, NOW) == MIDNIGHT
    assert opens_at(busy, 5000, MIDNIGHT) == MIDNIGHT


def test_a_day_may_be_known_to_be_used_up() -> None:
    """Whatever was counted; and more than that is not forgotten."""
    for measure, quota in ((Measure.RPD, Quota(rpd=5)), (Measure.TPD, Quota(tpd=5))):
        busy = account(quota)
        send(busy)
        busy.spend_day(measure)
        assert (busy.left(measure), opens_at(busy, 1, NOW)) == (0, MIDNIGHT)
        assert opens_at(busy, 1, MIDNIGHT) == MIDNIGHT
    unlimited = account()
    unlimited.expire(NOW)
    unlimited.spend_day(Measure.RPD)
    assert opens_at(unlimited, 1, NOW) == NOW


# --- at once


def test_no_more_run_at_once_than_may() -> None:
    """The next one goes at an answer, whenever that is, and whatever it is."""
    busy = account(Quota(concurrency=2))
    first = send(busy)
    send(busy)
    assert opens_at(busy, 1, NOW + 1000) == ANSWER

    busy.answered(first, NOW + 1000, accepted=False)

    assert opens_at(busy, 1, NOW + 1000) == NOW + 1000


def test_a_window_that_opens_later_is_told_before_an_answer_is_waited_for() -> None:
    """There is something to wake up for."""
    busy = account(Quota(rpm=1, concurrency=1))
    send(busy)

    assert opens_at(busy, 1, NOW) == NOW + SPAN
    assert opens_at(busy, 1, NOW + SPAN) == ANSWER


# --- closed


def test_what_is_closed_sends_nothing_until_it_opens() -> None:
    """Whatever is free, and whoever closes it for less."""
    shut = account(Quota(rpm=5))

    assert shut.close(NOW, NOW + 30, "it said so")
    assert not shut.close(NOW, NOW + 10, "shorter")

    assert opens_at(shut, 1, NOW + 29.9) == NOW + 30
    assert shut.closed_why == "it said so"
    assert shut.close(NOW, NOW + 40, "longer")
    assert opens_at(shut, 1, NOW + 30) == NOW + 40
    assert opens_at(shut, 1, NOW + 40) == NOW + 40


def test_what_is_over_closes_nothing() -> None:
    """An instant past is no reason to tell anybody."""
    shut = account()

    assert not shut.close(NOW, NOW, "over")
    assert not shut.close(NOW, NOW - 5, "over")
    assert shut.closed_why == ""


# --- what is learned


def test_the_stricter_of_what_is_configured_and_learned_holds() -> None:
    """For each limit by itself; what is learned replaces what was, what is configured stays."""
    known = account(Quota(rpm=10, rpd=100))

    assert known.learn(Quota(rpm=5, tpm=1000))
    assert known.quota == Quota(rpm=5, rpd=100, tpm=1000)
    assert not known.learn(Quota(rpm=5))
    assert known.learn(Quota(rpm=20, rpd=500))
    assert known.quota == Quota(rpm=10, rpd=100, tpm=1000)


def test_what_was_sent_before_a_limit_was_learned_counts_in_it() -> None:
    """The provider counted it, too."""
    busy = account()
    for late in range(5):
        send(busy, now=NOW + late)

    busy.learn(Quota(rpm=3))

    assert opens_at(busy, 1, NOW + 4) == NOW + 2 + SPAN


def test_what_others_use_of_a_limit_counts() -> None:
    """Where the provider says that less is left than was thought; never that there is more."""
    busy = account(Quota(rpm=10, tpm=100, rpd=50, tpd=500))
    send(busy, 20)

    for measure, remaining in ((Measure.RPM, 4), (Measure.TPM, 30), (Measure.RPD, 9), (Measure.TPD, 99)):
        busy.used_elsewhere(measure, remaining, NOW + 1)
        busy.used_elsewhere(measure, remaining + 1, NOW + 1)
        assert busy.left(measure) == remaining
    busy.expire(NOW + 1 + SPAN)
    assert (busy.left(Measure.RPM), busy.left(Measure.TPM)) == (10, 100)
    assert (busy.left(Measure.RPD), busy.left(Measure.TPD)) == (9, 99)


def test_what_is_left_of_an_unknown_limit_says_nothing() -> None:
    """There is nothing to count it against."""
    busy = account()
    busy.expire(NOW)
    for measure in Measure:
        busy.used_elsewhere(measure, 0, NOW)

    assert opens_at(busy, 1, NOW) == NOW
    assert all(busy.left(measure) == math.inf for measure in Measure)


# --- what is told


@pytest.mark.parametrize(
    ("quota", "share"),
    [
        (Quota(), 1.0),
        (Quota(rpm=10), 0.8),
        (Quota(rpm=10, tpm=100), 0.7),
        (Quota(rpm=10, rpd=4), 0.5),
        (Quota(rpm=10, tpd=40), 0.25),
    ],
)
def test_headroom_is_the_share_of_the_scarcest_limit_that_is_left(quota: Quota, share: float) -> None:
    """Of two requests of fifteen tokens each."""
    busy = account(quota)
    send(busy, 15)
    send(busy, 15)

    assert busy.headroom() == pytest.approx(share)


def test_people_see_what_is_used_and_when_there_is_more() -> None:
    """What is not full does not reopen; what is more than full reopens when it is less than full."""
    busy = account(Quota(rpm=5, tpm=100, rpd=2, concurrency=3))
    for late, tokens in ((0, 10), (1, 50), (2, 40)):
        busy.expire(NOW)
        busy.charge(tokens, NOW + late)
    busy.learn(Quota(rpm=2))

    assert busy.uses(NOW + 3) == (
        Use(Measure.RPM, 3, 2, NOW + 1 + SPAN),
        Use(Measure.TPM, 100, 100, NOW + SPAN),
        Use(Measure.RPD, 3, 2, MIDNIGHT),
        Use(Measure.TPD, 100, None, None),
        Use(Measure.CONCURRENCY, 3, 3, None),
    )


def test_a_limit_of_nothing_does_not_reopen() -> None:
    """There is no instant to name."""
    assert account(Quota(rpm=0)).uses(NOW)[0] == Use(Measure.RPM, 0, 0, None)


def test_it_is_told_when_more_is_free_though_nothing_is_answered() -> None:
    """At the end of the first request's minute, at that of the day, or when what is closed opens; never now."""
    busy = account(Quota(rpm=5))
    assert busy.frees_at(NOW) == MIDNIGHT
    busy.close(NOW, NOW + 100, "closed")
    assert busy.frees_at(NOW) == NOW + 100
    send(busy, now=NOW + 100)
    send(busy, now=NOW + 110)

    assert busy.frees_at(NOW + 110) == NOW + 100 + SPAN
    assert busy.frees_at(NOW + 100 + SPAN) == NOW + 110 + SPAN
    assert busy.frees_at(MIDNIGHT) == MIDNIGHT + timedelta(days=1).total_seconds()


def test_an_account_of_unknown_limits_starts_slowly_and_one_that_is_limited_does_not() -> None:
    """One request is answered before the next goes, until a limit of requests is learned."""
    unknown, known = Account("p", "m", Quota(), ZoneInfo("UTC")), Account("p", "m", Quota(rpm=9), ZoneInfo("UTC"))
    for each in (unknown, known):
        each.expire(NOW)
        each.charge(1, NOW)

    assert opens_at(unknown, 1, NOW) > NOW
    assert unknown.frees_at(NOW) == opens_at(unknown, 1, NOW)
    assert opens_at(known, 1, NOW) == NOW
    unknown.learn(Quota(rpm=9))
    assert opens_at(unknown, 1, NOW) == NOW

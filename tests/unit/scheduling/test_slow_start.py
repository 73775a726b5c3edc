"""How fast to go where nobody has said how fast one may."""

from __future__ import annotations

import heapq
from collections import deque
from datetime import UTC, datetime
from itertools import count
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse.domain.caller import Band
from synapse.domain.credential import Credential
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.usage import Usage
from synapse.scheduling.ledger import Ledger, Permit, Terms
from synapse.scheduling.slow_start import (
    ACCEPTED_WITHIN,
    ENOUGH,
    FEW,
    PROBED_WITHIN,
    REFUSED_WITHIN,
    SlowStart,
    Step,
)

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
PART = 8
"""Of so many that were accepted, one more may be found too many."""
MANY = 2000
"""No more are sent at once, however many may be."""
FULL = Failure(FailureClass.QUOTA_MINUTE, "slow down", 429)
BARE = Failure(FailureClass.RATE_LIMITED, "slow down", 429)


class Crowd:
    """More tasks than are ever sent, one key of a provider, and what comes of them, on a clock of their own."""

    def __init__(self, *, answers_in: float, refuses_in: float = 0.02, limit: int | None = None) -> None:
        """Answer after some seconds, and refuse after fewer what a trailing minute does not hold."""
        self.ledger = Ledger(Terms("p", ZoneInfo("UTC"), ("KEY",)), [Credential("x", "a-key-of-some-length")])
        self.now = NOW
        self.refused: list[float] = []
        """When requests were sent that were too many."""
        self.accepted: list[float] = []
        self.in_flight: list[int] = []
        """How many there were, each time one was sent."""
        self._limit, self._answers_in, self._refuses_in = limit, answers_in, refuses_in
        self._window: deque[float] = deque()
        self._coming: list[tuple[float, int, Permit, bool]] = []
        self._numbers = count()

    def run(self, seconds: float, *, failure: Failure = FULL) -> None:
        """Let some time pass, with everything sent that may be."""
        until = self.now + seconds
        while True:
            self._send()
            coming = self._coming[0][0] if self._coming else until
            opens_at = self.ledger.opens_at("m", 1, Band.INTERACTIVE, self.now)
            self.now = min(until, max(self.now + 1e-6, min(coming, opens_at)))
            if self.now >= until:
                return
            while self._coming and self._coming[0][0] <= self.now:
                self._settle(*heapq.heappop(self._coming)[2:], failure)

    def _send(self) -> None:
        while len(self._coming) < MANY and (permit := self.ledger.take("m", 1, Band.INTERACTIVE, self.now)) is not None:
            while self._window and self._window[0] <= self.now - 60.0:
                self._window.popleft()
            accepted = self._limit is None or len(self._window) < self._limit
            if accepted:
                self._window.append(self.now)
            (self.accepted if accepted else self.refused).append(self.now)
            heard_at = self.now + (self._answers_in if accepted else self._refuses_in)
            heapq.heappush(self._coming, (heard_at, next(self._numbers), permit, accepted))
            self.in_flight.append(len(self._coming))

    def _settle(self, permit: Permit, accepted: bool, failure: Failure) -> None:  # noqa: FBT001
        if accepted:
            self.ledger.settle(permit, self.now, usage=Usage())
        else:
            self.ledger.settle(permit, self.now, failure=failure)


# --- how fast it goes


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.9])
def test_requests_in_flight_double_with_each_round_trip(seconds: float) -> None:
    """One, two, four, and so on: nothing is sent before as many have been answered."""
    crowd = Crowd(answers_in=seconds)

    for trips in range(5):
        crowd.run(seconds * 1.001)
        assert 2**trips <= max(crowd.in_flight) <= 2 ** (trips + 1)


def test_a_provider_without_limits_is_at_full_speed_within_ten_round_trips() -> None:
    """After less than three seconds at least 128 are on their way at once, where each takes 0.3 s."""
    crowd = Crowd(answers_in=0.3)

    crowd.run(10 * 0.3)

    assert max(crowd.in_flight) >= 128


def test_after_many_good_answers_there_is_nothing_to_be_careful_of() -> None:
    """Then all go at once."""
    crowd = Crowd(answers_in=0.3)
    while len(crowd.accepted) < 3 * ENOUGH:
        crowd.run(0.1)
        assert crowd.now < NOW + 60

    assert max(crowd.in_flight) == MANY


def test_long_answers_hold_nothing_up() -> None:
    """A request that nobody refused for seconds is being answered: the next ones need not wait for its end."""
    crowd = Crowd(answers_in=300.0)

    crowd.run(10 * ACCEPTED_WITHIN)

    assert len(crowd.accepted) >= 128


# --- what it costs


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(1, 200),
    answers_in=st.sampled_from([0.05, 0.3, 1.0, 4.0, 30.0]),
    refuses_in=st.sampled_from([0.0, 0.02, 0.03]),
    failure=st.sampled_from([FULL, BARE]),
)
def test_a_limit_is_overstepped_by_few(limit: int, answers_in: float, refuses_in: float, failure: Failure) -> None:
    """By two at the first contact, or where many were accepted by one in eight of them, if refusals come at once."""
    crowd = Crowd(answers_in=answers_in, refuses_in=refuses_in, limit=limit)

    while not crowd.refused and crowd.now < NOW + 59:
        crowd.run(0.1, failure=failure)

    assert len(crowd.refused) <= max(FEW, limit // PART)
    assert len(crowd.accepted) == limit or not crowd.refused


# --- one by one


def sent(slow: SlowStart, number: int, now: float) -> list[Step]:
    """Send some requests that may go."""
    steps = []
    for used in range(number):
        assert slow.opens_at(used, now) <= now
        steps.append(slow.sent(now))
    return steps


def test_the_first_request_is_a_probe() -> None:
    """The second one waits for its answer, or until its silence says enough."""
    slow = SlowStart()
    (step,) = sent(slow, 1, NOW)

    assert slow.awaits_answer
    assert slow.opens_at(1, NOW) == NOW + ACCEPTED_WITHIN
    slow.answered(step, 1, NOW + 0.2, accepted=True)
    assert not slow.awaits_answer
    assert slow.opens_at(1, NOW + 0.2) <= NOW + 0.2


def test_what_has_begun_to_be_answered_counts_once() -> None:
    """Its end says nothing more."""
    slow = SlowStart()
    (step,) = sent(slow, 1, NOW)
    for _ in range(5):
        slow.answered(step, 1, NOW + 0.2, accepted=True)

    sent(slow, 2, NOW + 1)
    assert slow.opens_at(3, NOW + 1) > NOW + 1


def test_a_failed_request_proves_nothing() -> None:
    """The one after it is a probe, too."""
    slow = SlowStart()
    for _ in range(5):
        (step,) = sent(slow, 1, NOW)
        assert slow.opens_at(1, NOW) > NOW
        slow.answered(step, 1, NOW, accepted=False)
    assert slow.safe == 0


def test_beyond_what_was_accepted_before_only_few_are_young() -> None:
    """The rest of what may be in flight follows when refusals of the first ones would have been heard."""
    slow = SlowStart()
    for number in (1, 2, 4):
        for step in [slow.sent(NOW) for _ in range(number)]:
            slow.answered(step, 0, NOW + 0.01, accepted=True)
    later = NOW + 1.0
    sent(slow, FEW, later)

    assert slow.opens_at(50, later) == later + REFUSED_WITHIN
    assert slow.opens_at(50, later + REFUSED_WITHIN) <= later + REFUSED_WITHIN


def test_what_was_accepted_in_one_window_goes_at_once_in_the_next() -> None:
    """No more care is needed up to there than for what is in flight."""
    slow = SlowStart()
    steps = [slow.sent(NOW) for _ in range(6)]
    for step in steps:
        slow.answered(step, 6, NOW + 0.2, accepted=True)

    assert slow.safe == 6
    assert [slow.opens_at(used, NOW + 70) <= NOW + 70 and bool(slow.sent(NOW + 70)) for used in range(6)] == [True] * 6


def test_after_a_refusal_one_at_a_time_goes_beyond_what_was_accepted() -> None:
    """The next one when that has certainly not been refused."""
    slow = SlowStart()
    steps = [slow.sent(NOW) for _ in range(6)]
    for step in steps[:5]:
        slow.answered(step, 5, NOW + 0.2, accepted=True)
    slow.answered(steps[5], 5, NOW + 0.2, accepted=False)
    slow.refused(5)

    assert (slow.limit, slow.safe) == (5, 5)
    sent(slow, 5, NOW + 70)
    assert slow.opens_at(5, NOW + 70) == NOW + 70 + PROBED_WITHIN


def test_after_a_refusal_without_a_reason_one_probe_goes_and_then_half_of_what_was() -> None:
    """Answers to what was sent before say nothing of the time after it."""
    slow = SlowStart()
    before = [slow.sent(NOW) for _ in range(9)]
    slow.restart(8)
    for step in before:
        slow.answered(step, 9, NOW + 0.5, accepted=True)
    (probe,) = sent(slow, 1, NOW + 1)
    assert slow.awaits_answer

    slow.answered(probe, 1, NOW + 1.5, accepted=True)

    slow.safe = 100
    sent(slow, 5, NOW + 2)
    assert slow.awaits_answer


def test_no_care_is_taken_where_none_is_needed() -> None:
    """Limits that are known are kept by counting."""
    assert SlowStart(over=True).limit is None
    assert not SlowStart(over=True).awaits_answer

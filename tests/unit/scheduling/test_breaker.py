"""A model that fails and fails is left alone."""

from __future__ import annotations

import pytest

from synapse.scheduling.breaker import LONGEST, SHORTEST, THRESHOLD, Breaker
from synapse.scheduling.slow_start import ANSWER

NOW = 1000.0


def opened(now: float = NOW) -> Breaker:
    """Return a circuit that has just opened."""
    breaker = Breaker()
    for _ in range(THRESHOLD):
        breaker.failed(now, "it broke", probe=False)
    assert not breaker.closed
    return breaker


def probe(breaker: Breaker, now: float) -> None:
    """Send the one request that may pass."""
    assert breaker.opens_at() <= now
    assert breaker.sent()


def test_five_failures_in_a_row_open_the_circuit() -> None:
    """The fifth is news; until its pause is over nothing passes."""
    breaker = Breaker()

    assert [breaker.failed(NOW, "it broke", probe=False) for _ in range(5)] == [False] * 4 + [True]

    assert not breaker.closed
    assert breaker.opens_at() == NOW + 5.0
    assert breaker.reason == "it broke"


def test_a_good_answer_between_failures_keeps_it_closed() -> None:
    """Only those in a row count."""
    breaker = Breaker()
    for _ in range(20):
        for _ in range(THRESHOLD - 1):
            assert not breaker.failed(NOW, "it broke", probe=False)
        assert not breaker.worked()

    assert breaker.closed
    assert breaker.opens_at() <= NOW


def test_a_closed_circuit_lets_all_pass() -> None:
    """None of them is a probe."""
    breaker = Breaker()

    assert not any(breaker.sent() for _ in range(3))
    assert breaker.opens_at() <= 0.0


def test_after_the_pause_one_request_passes() -> None:
    """The next one waits for its answer."""
    breaker = opened()

    probe(breaker, NOW + SHORTEST)

    assert breaker.opens_at() == ANSWER


def test_a_probe_that_is_answered_closes_the_circuit() -> None:
    """That is news, once; then it takes five failures again to open it, for as short as the first time."""
    breaker = opened()
    probe(breaker, NOW + SHORTEST)

    assert breaker.worked()
    assert not breaker.worked()

    assert breaker.closed
    assert [breaker.failed(NOW + 9, "again", probe=False) for _ in range(5)] == [False] * 4 + [True]
    assert breaker.opens_at() == NOW + 9 + SHORTEST


def test_each_probe_that_fails_doubles_the_pause() -> None:
    """Up to two minutes, and it is news each time."""
    breaker, now, pauses = opened(), NOW, []
    for _ in range(7):
        now = breaker.opens_at()
        probe(breaker, now)
        assert breaker.failed(now + 1, "still broken", probe=True)
        pauses.append(breaker.opens_at() - now - 1)

    assert pauses == [10.0, 20.0, 40.0, 80.0, LONGEST, LONGEST, LONGEST]
    assert breaker.reason == "still broken"


def test_what_was_sent_before_it_opened_does_not_lengthen_the_pause() -> None:
    """Those failures are of the same trouble."""
    breaker = opened()

    assert not any(breaker.failed(NOW + 3, "it broke", probe=False) for _ in range(10))

    assert breaker.opens_at() == NOW + SHORTEST


def test_a_late_failure_of_another_leaves_the_probe_on_its_way() -> None:
    """Only the probe's own end lets the next one pass."""
    breaker = opened()
    probe(breaker, NOW + SHORTEST)

    breaker.failed(NOW + 6, "late", probe=False)

    assert breaker.opens_at() == ANSWER


@pytest.mark.parametrize("was_probe", [True, False])
def test_a_probe_that_is_given_up_makes_room_for_another(was_probe: bool) -> None:  # noqa: FBT001
    """It told nothing; one that was given up and was no probe changes nothing."""
    breaker = opened()
    probe(breaker, NOW + SHORTEST)

    breaker.given_up(probe=was_probe)

    assert not breaker.closed
    assert breaker.opens_at() == (NOW + SHORTEST if was_probe else ANSWER)

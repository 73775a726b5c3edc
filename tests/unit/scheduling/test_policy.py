"""What follows a failed attempt."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.credential import Credential
from synapse.domain.errors import InvalidRequest, ProviderFailed, TimedOut
from synapse.domain.failure import Failure, FailureClass
from synapse.scheduling.credentials import NEVER, Rest
from synapse.scheduling.policy import RetryRules, Tried, after_failure, backoff, overdue
from synapse.scheduling.settlement import Fail, Retry

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
MIDNIGHT = datetime(2026, 7, 2, 7, tzinfo=UTC).timestamp()
ZONE = ZoneInfo("America/Los_Angeles")
KEY = Credential("project", "a-key-of-some-length")
RULES = RetryRules(max_attempts=3, base_delay=1.0, max_delay=30.0)

LESSONS = {
    FailureClass.CREDENTIAL_DEAD: Rest(KEY, None, NEVER, "it said so"),
    FailureClass.NOT_IN_TIER: Rest(KEY, "m", NEVER, "it said so"),
    FailureClass.QUOTA_DAY: Rest(KEY, "m", MIDNIGHT, "it said so"),
    FailureClass.QUOTA_MINUTE: Rest(KEY, "m", NOW + 60, "it said so"),
}
"""What each failure that is about a credential teaches of it."""
FINAL = {FailureClass.CALLER_FAULT: InvalidRequest, FailureClass.MODEL_GONE: ProviderFailed}
"""Failures that trying again would not mend, and the errors they are."""
PASSING = [FailureClass.OVERLOADED, FailureClass.TRANSIENT]


def tried(
    kind: FailureClass,
    *,
    attempt: int = 1,
    shown: bool = False,
    credential: Credential | None = KEY,
    retry_after: float | None = None,
) -> Tried:
    """Make an attempt that failed."""
    failure = Failure(kind, "it said so", retry_after=retry_after)
    return Tried(failure, attempt=attempt, provider="p", model="m", credential=credential, shown=shown)


def decide(attempt: Tried, *, chance: float = 0.5) -> Retry | Fail:
    """Ask the policy."""
    return after_failure(attempt, RULES, now=NOW, zone=ZONE, random=lambda: chance)


def test_every_class_of_failure_has_a_rule_here() -> None:
    """The tests of this module go through all classes there are."""
    assert {*LESSONS, *FINAL, *PASSING} == set(FailureClass)


@pytest.mark.parametrize("attempt", [1, 3, 50])
@pytest.mark.parametrize("kind", LESSONS)
def test_a_failure_about_a_credential_moves_on_to_another(kind: FailureClass, attempt: int) -> None:
    """The task goes back at once, however many attempts there were, and none is used up; the credential rests."""
    assert decide(tried(kind, attempt=attempt)) == Retry(0.0, counted=False, reason="it said so", rest=LESSONS[kind])


@pytest.mark.parametrize("kind", FINAL)
def test_some_failures_are_final(kind: FailureClass) -> None:
    """What would fail anywhere fails at the first attempt, as the error it is, and no credential rests for it."""
    settlement = decide(tried(kind))

    assert isinstance(settlement, Fail)
    assert type(settlement.error) is FINAL[kind]
    assert settlement.error.message == "p, model m: it said so"
    assert settlement.rest is None


@pytest.mark.parametrize("kind", PASSING)
def test_a_passing_failure_is_tried_again_after_a_pause(kind: FailureClass) -> None:
    """The pause grows with the attempts, each of which counts."""
    assert decide(tried(kind, attempt=1)) == Retry(0.5, counted=True, reason="it said so")
    assert decide(tried(kind, attempt=2)) == Retry(1.0, counted=True, reason="it said so")


@pytest.mark.parametrize("kind", PASSING)
def test_the_last_attempt_is_the_last(kind: FailureClass) -> None:
    """When all attempts are used up the task fails, and its error says how many there were."""
    settlement = decide(tried(kind, attempt=3))

    assert isinstance(settlement, Fail)
    assert isinstance(settlement.error, ProviderFailed)
    assert settlement.error.message == "p, model m: it said so (the last of 3 attempts)"


@pytest.mark.parametrize("kind", FailureClass)
def test_what_was_shown_is_never_told_again(kind: FailureClass) -> None:
    """Once a caller has seen text of a stream no failure leads to another attempt; what was learned still counts."""
    settlement = decide(tried(kind, shown=True))

    assert isinstance(settlement, Fail)
    assert settlement.rest == LESSONS.get(kind)
    assert "attempts" not in settlement.error.message


@pytest.mark.parametrize("kind", LESSONS)
def test_without_a_key_there_is_nothing_to_rest(kind: FailureClass) -> None:
    """A provider that takes no key and complains about one is tried again like any that fails."""
    assert decide(tried(kind, credential=None)) == Retry(0.5, counted=True, reason="it said so")
    assert isinstance(decide(tried(kind, credential=None, attempt=3)), Fail)


@pytest.mark.parametrize(
    ("hint", "pause"), [(7.5, 7.5), (0.0, 1.0), (-3.0, 1.0), (None, 60.0), (590.0, 590.0), (86400.0, 600.0)]
)
def test_a_used_up_window_rests_as_long_as_the_provider_says(hint: float | None, pause: float) -> None:
    """A minute where it says nothing; a moment at least, ten minutes at most: no minute lasts longer."""
    settlement = decide(tried(FailureClass.QUOTA_MINUTE, retry_after=hint))

    assert settlement.rest == Rest(KEY, "m", NOW + pause, "it said so")


def test_a_used_up_day_ends_at_midnight_whatever_the_hint() -> None:
    """A short delay beside a daily quota is no promise."""
    settlement = decide(tried(FailureClass.QUOTA_DAY, retry_after=12.0))

    assert settlement.rest == LESSONS[FailureClass.QUOTA_DAY]


@pytest.mark.parametrize(("hint", "delay"), [(5.0, 5.0), (0.1, 0.5), (86400.0, 600.0)])
def test_a_providers_hint_lengthens_the_pause_within_reason(hint: float, delay: float) -> None:
    """It never shortens the back-off, and is not believed beyond ten minutes."""
    settlement = decide(tried(FailureClass.OVERLOADED, retry_after=hint))

    assert settlement == Retry(delay, counted=True, reason="it said so")


@given(
    attempt=st.integers(1, 10_000),
    base=st.floats(0, 100),
    longest=st.floats(0, 1000),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_back_off_stays_within_its_bounds(attempt: int, base: float, longest: float, chance: float) -> None:
    """It lies between nothing and the smaller of the longest pause and the doubled base, in proportion to chance."""
    rules = RetryRules(max_attempts=attempt, base_delay=base, max_delay=longest)

    pause = backoff(attempt, rules, chance)

    assert 0 <= pause <= longest
    assert pause <= base * 2.0 ** min(attempt - 1, 64)
    assert pause == chance * backoff(attempt, rules, 1.0)


@given(attempt=st.integers(1, 40))
def test_the_limit_of_back_off_doubles_until_it_is_the_longest(attempt: int) -> None:
    """Each attempt doubles the limit before it, or reaches the longest."""
    rules = RetryRules(base_delay=0.5, max_delay=30.0)

    limit, next_limit = backoff(attempt, rules, 1.0), backoff(attempt + 1, rules, 1.0)

    assert next_limit == min(30.0, 2 * limit)


def test_an_overdue_task_says_how_long_it_had() -> None:
    """The error names the timeout."""
    error = overdue(2.5).error

    assert isinstance(error, TimedOut)
    assert "2.5 s" in error.message

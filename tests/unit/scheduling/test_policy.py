"""What becomes of a task whose attempt failed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.errors import InvalidRequest, ProviderFailed, TimedOut
from synapse.domain.failure import Failure, FailureClass
from synapse.scheduling.policy import RetryRules, Tried, after_failure, backoff, overdue
from synapse.scheduling.settlement import Fail, Retry

RULES = RetryRules(max_attempts=3, base_delay=1.0, max_delay=30.0)
REFUSED = [
    FailureClass.CREDENTIAL_DEAD,
    FailureClass.NOT_IN_TIER,
    FailureClass.QUOTA_DAY,
    FailureClass.QUOTA_MINUTE,
    FailureClass.RATE_LIMITED,
]
"""Failures of the credential: the model was not asked."""
FINAL = {FailureClass.CALLER_FAULT: InvalidRequest, FailureClass.MODEL_GONE: ProviderFailed}
"""Failures that trying again would not mend, and the errors they are."""
PASSING = [FailureClass.OVERLOADED, FailureClass.TRANSIENT]


def tried(
    kind: FailureClass,
    *,
    attempt: int = 1,
    shown: bool = False,
    keyless: bool = False,
    fallbacks: bool = False,
    retry_after: float | None = None,
) -> Tried:
    """Make an attempt that failed."""
    failure = Failure(kind, "it said so", retry_after=retry_after)
    return Tried(failure, attempt, "p", "m", shown=shown, keyless=keyless, fallbacks=fallbacks)


def decide(attempt: Tried, *, chance: float = 0.5) -> Retry | Fail:
    """Ask the policy."""
    return after_failure(attempt, RULES, random=lambda: chance)


def again(attempt: Tried, delay: float, *, counted: bool = True, fall_back: bool = False) -> Retry:
    """Return that a task goes back."""
    return Retry(delay, counted=counted, reason="it said so", failure=attempt.failure, fall_back=fall_back)


def test_every_class_of_failure_has_a_rule_here() -> None:
    """The tests of this module go through all classes there are."""
    assert {*REFUSED, *FINAL, *PASSING} == set(FailureClass)


@pytest.mark.parametrize("fallbacks", [False, True])
@pytest.mark.parametrize("attempt", [1, 3, 50])
@pytest.mark.parametrize("kind", REFUSED)
def test_a_refusal_uses_up_no_attempt(kind: FailureClass, attempt: int, fallbacks: bool) -> None:  # noqa: FBT001
    """The task goes back at once, however many attempts there were, to wait for a better permit for the same model."""
    refused = tried(kind, attempt=attempt, fallbacks=fallbacks, retry_after=50.0)

    assert decide(refused) == again(refused, 0.0, counted=False)


@pytest.mark.parametrize("kind", FINAL)
def test_some_failures_are_final(kind: FailureClass) -> None:
    """What would fail anywhere fails at the first attempt, as the error it is; the failure still teaches."""
    gone = tried(kind)

    settlement = decide(gone)

    assert isinstance(settlement, Fail)
    assert type(settlement.error) is FINAL[kind]
    assert settlement.error.message == "p, model m: it said so"
    assert settlement.failure is gone.failure


@pytest.mark.parametrize("kind", PASSING)
def test_a_passing_failure_is_tried_again_after_a_pause(kind: FailureClass) -> None:
    """The pause grows with the attempts, each of which counts."""
    first, second = tried(kind, attempt=1), tried(kind, attempt=2)

    assert decide(first) == again(first, 0.5)
    assert decide(second) == again(second, 1.0)


@pytest.mark.parametrize("kind", PASSING)
def test_the_last_attempt_is_the_last(kind: FailureClass) -> None:
    """When all attempts are used up the task fails, and its error says how many there were."""
    last = tried(kind, attempt=3)

    settlement = decide(last)

    assert isinstance(settlement, Fail)
    assert isinstance(settlement.error, ProviderFailed)
    assert settlement.error.message == "p, model m: it said so (the last of 3 attempts)"
    assert settlement.failure is last.failure


@pytest.mark.parametrize(
    ("kind", "attempt"),
    [
        (FailureClass.MODEL_GONE, 1),
        (FailureClass.OVERLOADED, 1),
        (FailureClass.OVERLOADED, 3),
        (FailureClass.TRANSIENT, 3),
    ],
)
def test_what_is_not_to_be_had_is_had_elsewhere(kind: FailureClass, attempt: int) -> None:
    """A task with a fallback goes there at once, when its model is gone or overloaded, or all attempts are used up."""
    unavailable = tried(kind, attempt=attempt, fallbacks=True)

    assert decide(unavailable) == again(unavailable, 0.0, fall_back=True)


def test_what_may_pass_is_tried_again_before_it_is_had_elsewhere() -> None:
    """As long as there are attempts."""
    broken = tried(FailureClass.TRANSIENT, attempt=2, fallbacks=True)

    assert decide(broken) == again(broken, 1.0)


def test_what_the_caller_did_wrong_is_wrong_everywhere() -> None:
    """No fallback would mend it."""
    assert isinstance(decide(tried(FailureClass.CALLER_FAULT, fallbacks=True)), Fail)


@pytest.mark.parametrize("fallbacks", [False, True])
@pytest.mark.parametrize("kind", FailureClass)
def test_what_was_shown_is_never_told_again(kind: FailureClass, fallbacks: bool) -> None:  # noqa: FBT001
    """Once a caller has seen text of a stream no failure leads to another attempt; what was learned still counts."""
    seen = tried(kind, attempt=3, shown=True, fallbacks=fallbacks)

    settlement = decide(seen)

    assert isinstance(settlement, Fail)
    assert settlement.failure is seen.failure
    assert "attempts" not in settlement.error.message


def test_a_provider_that_wants_a_key_after_all_is_not_asked_again_and_again() -> None:
    """There is no other key to try: the error says what to set."""
    settlement = decide(tried(FailureClass.CREDENTIAL_DEAD, keyless=True))

    assert isinstance(settlement, Fail)
    assert isinstance(settlement.error, ProviderFailed)
    assert "it said so" in settlement.error.message
    assert "api_keys_env" in settlement.error.message


@pytest.mark.parametrize("kind", [FailureClass.QUOTA_MINUTE, FailureClass.RATE_LIMITED])
def test_a_provider_that_wants_no_key_may_still_refuse_for_a_while(kind: FailureClass) -> None:
    """That passes, as for those with keys."""
    refused = tried(kind, keyless=True)

    assert decide(refused) == again(refused, 0.0, counted=False)


@pytest.mark.parametrize(("hint", "delay"), [(5.0, 5.0), (0.1, 0.5), (-9.0, 0.5), (86400.0, 600.0)])
def test_a_providers_hint_lengthens_the_pause_within_reason(hint: float, delay: float) -> None:
    """It never shortens the back-off, and is not believed beyond ten minutes."""
    overloaded = tried(FailureClass.OVERLOADED, retry_after=hint)

    assert decide(overloaded) == again(overloaded, delay)


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
    """The error names the timeout; it teaches nothing of the provider."""
    settlement = overdue(2.5)

    assert isinstance(settlement.error, TimedOut)
    assert "2.5 s" in settlement.error.message
    assert settlement.failure is None

"""What becomes of a task whose attempt failed: one rule for each class of failure, as plain functions.

What the failure teaches of credential and model is the ledger's to learn (`lessons`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.errors import InvalidRequest, ProviderFailed, SynapseError, TimedOut
from synapse.domain.failure import Failure, FailureClass
from synapse.scheduling.settlement import Fail, Retry

if TYPE_CHECKING:
    from collections.abc import Callable


class RetryRules(msgspec.Struct, frozen=True):
    """How often and how patiently transient failures are tried again."""

    max_attempts: int = 4
    """Attempts in all, the first one included."""
    base_delay: float = 0.5
    """Seconds; the longest first back-off. It doubles with each attempt."""
    max_delay: float = 30.0
    """Seconds; the longest back-off of all."""


class Tried(msgspec.Struct, frozen=True):
    """One failed attempt, as far as the policy cares."""

    failure: Failure
    attempt: int
    """Its number, from 1."""
    provider: str
    model: str
    """The provider's name for the model."""
    shown: bool
    """Whether a caller who watches the answer grow has seen some of it: it must not see that twice."""
    keyless: bool = False
    """Whether it went without a credential, so that there is no other one to try."""
    fallbacks: bool = False
    """Whether there is another model to go to."""


_LONGEST_HINT = 600.0
"""Seconds; a provider's hint beyond this is not believed for a failure that ought to pass soon."""
_REFUSED = frozenset({
    FailureClass.CREDENTIAL_DEAD,
    FailureClass.QUOTA_MINUTE,
    FailureClass.QUOTA_DAY,
    FailureClass.NOT_IN_TIER,
    FailureClass.RATE_LIMITED,
})  # fmt: skip
"""The model was not even asked: the task waits for a permit that is better, and no attempt is used up."""
_UNAVAILABLE = frozenset({FailureClass.MODEL_GONE, FailureClass.OVERLOADED})


def after_failure(tried: Tried, rules: RetryRules, *, random: Callable[[], float]) -> Retry | Fail:
    """Decide what becomes of a task whose attempt failed; `random` gives numbers in [0, 1)."""
    failure = tried.failure
    wants_a_key = tried.keyless and failure.kind is FailureClass.CREDENTIAL_DEAD
    if tried.shown or wants_a_key or failure.kind is FailureClass.CALLER_FAULT:
        return Fail(_error(tried), failure)
    if failure.kind in _REFUSED:
        return Retry(0.0, counted=False, reason=failure.message, failure=failure)
    spent = failure.kind is FailureClass.MODEL_GONE or tried.attempt >= rules.max_attempts
    if tried.fallbacks and (spent or failure.kind in _UNAVAILABLE):
        return Retry(0.0, counted=True, reason=failure.message, failure=failure, fall_back=True)
    if spent:
        return Fail(_error(tried), failure)
    delay = max(backoff(tried.attempt, rules, random()), min(failure.retry_after or 0.0, _LONGEST_HINT))
    return Retry(delay, counted=True, reason=failure.message, failure=failure)


def backoff(attempt: int, rules: RetryRules, chance: float) -> float:
    """Return the pause after an attempt, in seconds: full jitter under a limit that doubles."""
    doublings = min(attempt - 1, 32)
    return chance * min(rules.max_delay, rules.base_delay * 2.0**doublings)


def _error(tried: Tried) -> SynapseError:
    failure = tried.failure
    said = f"{tried.provider}, model {tried.model}: {failure.message}"
    if failure.kind is FailureClass.CALLER_FAULT:
        return InvalidRequest(said)
    if tried.keyless and failure.kind is FailureClass.CREDENTIAL_DEAD:
        return ProviderFailed(f"{said}; it is asked without a key: name the variable that has one as its api_keys_env")
    if tried.attempt > 1 and not tried.shown:
        said = f"{said} (the last of {tried.attempt} attempts)"
    return ProviderFailed(said)


def overdue(timeout: float) -> Fail:
    """Return the end of a task that took longer than `timeout` seconds."""
    return Fail(TimedOut(f"the task did not end within its timeout of {timeout:g} s; allow it more, or ask for less"))

"""What follows a failed attempt: one rule for each class of failure, as plain functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from synapse.domain.errors import InvalidRequest, ProviderFailed, SynapseError, TimedOut
from synapse.domain.failure import Failure, FailureClass
from synapse.scheduling.credentials import NEVER, Rest
from synapse.scheduling.quota import day_end
from synapse.scheduling.settlement import Fail, Retry

if TYPE_CHECKING:
    from collections.abc import Callable
    from zoneinfo import ZoneInfo

    from synapse.domain.credential import Credential


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
    credential: Credential | None
    shown: bool
    """Whether a caller who watches the answer grow has seen some of it: it must not see that twice."""


_QUOTA_PAUSE = 60.0
"""Seconds a minute window rests where the provider did not say how long."""
_SHORTEST_REST = 1.0
"""Seconds a minute window rests at least: a provider that says 0 and refuses again would be asked without end."""
_LONGEST_HINT = 600.0
"""Seconds; a provider's hint beyond this is not believed for a failure that ought to pass soon."""


def after_failure(
    tried: Tried, rules: RetryRules, *, now: float, zone: ZoneInfo, random: Callable[[], float]
) -> Retry | Fail:
    """Decide what becomes of a task whose attempt failed.

    `now` is UTC seconds, `zone` is where the provider's days end, `random` gives numbers in [0, 1).
    """
    failure = tried.failure
    rest = learned(tried, now, zone)
    if tried.shown or failure.kind in _FINAL:
        return Fail(_error(tried), rest)
    if rest is not None:
        return Retry(0.0, counted=False, reason=failure.message, rest=rest)
    if tried.attempt >= rules.max_attempts:
        return Fail(_error(tried))
    delay = max(backoff(tried.attempt, rules, random()), min(failure.retry_after or 0.0, _LONGEST_HINT))
    return Retry(delay, counted=True, reason=failure.message)


def backoff(attempt: int, rules: RetryRules, chance: float) -> float:
    """Return the pause after an attempt, in seconds: full jitter under a limit that doubles."""
    doublings = min(attempt - 1, 32)
    return chance * min(rules.max_delay, rules.base_delay * 2.0**doublings)


def learned(tried: Tried, now: float, zone: ZoneInfo) -> Rest | None:
    """Return what the failure says about its credential, if anything."""
    failure, credential = tried.failure, tried.credential
    if credential is None:
        return None
    match failure.kind:
        case FailureClass.CREDENTIAL_DEAD:
            return Rest(credential, None, NEVER, failure.message)
        case FailureClass.NOT_IN_TIER:
            return Rest(credential, tried.model, NEVER, failure.message)
        case FailureClass.QUOTA_DAY:
            return Rest(credential, tried.model, day_end(now, zone), failure.message)
        case FailureClass.QUOTA_MINUTE:
            pause = min(failure.retry_after, _LONGEST_HINT) if failure.retry_after is not None else _QUOTA_PAUSE
            return Rest(credential, tried.model, now + max(_SHORTEST_REST, pause), failure.message)
        case _:
            return None


_FINAL = frozenset({FailureClass.CALLER_FAULT, FailureClass.MODEL_GONE})


def _error(tried: Tried) -> SynapseError:
    failure = tried.failure
    said = f"{tried.provider}, model {tried.model}: {failure.message}"
    if failure.kind is FailureClass.CALLER_FAULT:
        return InvalidRequest(said)
    if tried.attempt > 1 and not tried.shown:
        said = f"{said} (the last of {tried.attempt} attempts)"
    return ProviderFailed(said)


def overdue(timeout: float) -> Fail:
    """Return the end of a task that took longer than `timeout` seconds."""
    return Fail(TimedOut(f"the task did not end within its timeout of {timeout:g} s; allow it more, or ask for less"))

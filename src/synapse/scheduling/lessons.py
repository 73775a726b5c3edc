"""What a failure teaches the ledger about credential, account and circuit: one rule for each class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Measure, Quota
from synapse.scheduling.account import NEVER
from synapse.scheduling.news import News

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.scheduling.account import Account
    from synapse.scheduling.ledger import Permit
    from synapse.scheduling.pool import ModelPool

_QUOTA_PAUSE = 60.0
"""Seconds a minute window rests where the provider did not say how long."""
_SHORTEST_REST = 1.0
"""Seconds a minute window rests at least: a provider that says 0 and refuses again would be asked without end."""
_LONGEST_HINT = 600.0
"""Seconds; a provider's hint beyond this is not believed of something that ought to pass soon."""
_FIRST_STRIKE = 0.5
"""Seconds of rest after a refusal that explains nothing; they double with each one in a row."""
_LONGEST_STRIKE = 30.0
_FREE = frozenset({
    FailureClass.CREDENTIAL_DEAD,
    FailureClass.QUOTA_MINUTE,
    FailureClass.QUOTA_DAY,
    FailureClass.NOT_IN_TIER,
    FailureClass.RATE_LIMITED,
})  # fmt: skip
"""Refusals: they are not counted by those who refuse."""
_BROKEN = frozenset({FailureClass.TRANSIENT, FailureClass.OVERLOADED})
_OF_A_DAY = frozenset({Measure.RPD, Measure.TPD})


def learn(pool: ModelPool, permit: Permit, failure: Failure, now: float, *, random: Callable[[], float]) -> list[News]:
    """Settle a permit whose request failed, and return what is new."""
    refused = failure.kind in _FREE
    for account, charge in zip(permit.carrier.accounts, permit.charges, strict=True):
        account.expire(now)
        if refused or not failure.arrived:
            account.give_back(charge)
        account.answered(charge, now, accepted=not refused and failure.kind not in _BROKEN)
    news = _broken(pool, permit, failure, now) if failure.kind in _BROKEN else _works(pool, permit)
    account = permit.carrier.accounts[-1 if failure.shared else 0]
    match failure.kind:
        case FailureClass.CREDENTIAL_DEAD:
            news += _bench(permit, failure)
        case FailureClass.NOT_IN_TIER:
            news += _close(account, _news("model is not in this project's tier", permit, NEVER, failure), now)
        case FailureClass.QUOTA_DAY:
            news += _spent(account, permit, failure, now)
        case FailureClass.QUOTA_MINUTE:
            news += _full(account, permit, failure, now)
        case FailureClass.RATE_LIMITED:
            news += _strike(account, permit, failure, now, random())
        case _:
            pass
    return news


def _bench(permit: Permit, failure: Failure) -> list[News]:
    """Use a dead key no more."""
    credential = permit.credential
    if credential is None or not permit.carrier.project.bench(credential, NEVER, failure.message):
        return []
    return [_news("credential benched", permit, NEVER, failure)]


def _close(account: Account, news: News, now: float) -> list[News]:
    return [news] if account.close(now, news.until or now, news.reason) else []


def _spent(account: Account, permit: Permit, failure: Failure, now: float) -> list[News]:
    """A day is used up, that in which it was sent: close until it ends. A provider that says when knows best."""
    news = _limits(account, permit, failure)
    day_ends = permit.charges[permit.carrier.accounts.index(account)].day
    if not failure.retry_after and day_ends == account.day_ends:
        for violation in failure.violations:
            account.spend_day(violation.measure)
    until = now + failure.retry_after if failure.retry_after else day_ends
    return news + _close(account, _news("day's quota is used up", permit, until, failure), now)


def _full(account: Account, permit: Permit, failure: Failure, now: float) -> list[News]:
    """A minute's window is used up: close until it opens again."""
    news = _limits(account, permit, failure)
    if not any(violation.limit is not None for violation in failure.violations):
        account.slow_start.refused(account.requests)
    pause = min(failure.retry_after, _LONGEST_HINT) if failure.retry_after is not None else _QUOTA_PAUSE
    return news + _close(account, _news("quota is used up", permit, now + max(_SHORTEST_REST, pause), failure), now)


def _limits(account: Account, permit: Permit, failure: Failure) -> list[News]:
    limits = {str(each.measure): each.limit for each in failure.violations if each.limit is not None}
    if not limits or not account.learn(Quota(**limits)):
        return []
    said = ", ".join(f"{measure} {limit}" for measure, limit in limits.items())
    return [News("limits learned", _label(permit), account.project or None, permit.model, None, said)]


def _strike(account: Account, permit: Permit, failure: Failure, now: float, chance: float) -> list[News]:
    """A refusal that explains nothing: a short rest, longer each time, then one probe.

    Those that were on their way with it when it was heard tell nothing new.
    """
    pause = min(failure.retry_after or 0.0, _LONGEST_HINT)
    if permit.charges[permit.carrier.accounts.index(account)].at > account.closed_at:
        longest = min(_LONGEST_STRIKE, _FIRST_STRIKE * 2.0 ** min(account.strikes, 16))
        account.strikes += 1
        account.slow_start.restart(account.running)
        pause = max(pause, longest * (0.5 + 0.5 * chance))
    return _close(account, _news("refused without a reason", permit, now + pause, failure), now)


def _broken(pool: ModelPool, permit: Permit, failure: Failure, now: float) -> list[News]:
    if not pool.breaker.failed(now, failure.message, probe=permit.probe):
        return []
    until = pool.breaker.opens_at()
    return [_news("circuit opened", permit, until, failure)]


def _works(pool: ModelPool, permit: Permit) -> list[News]:
    """Anything that is no fault of the model's shows that it works."""
    return [works(permit)] if pool.breaker.worked() else []


def works(permit: Permit) -> News:
    """Say that the circuit is closed again."""
    return News("circuit closed", _label(permit), permit.carrier.project.name or None, permit.model, None, "it works")


def _news(event: str, permit: Permit, until: float, failure: Failure) -> News:
    return News(event, _label(permit), permit.carrier.project.name or None, permit.model, until, failure.message)


def _label(permit: Permit) -> str | None:
    return permit.credential.label if permit.credential is not None else None

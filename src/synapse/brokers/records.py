"""What is kept of ledgers: read out of them as they change, and put back after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from synapse.brokers.store import Bench, DayUse, Learned, Ledgers, key_id
from synapse.domain.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from synapse.scheduling.account import Account
    from synapse.scheduling.ledger import Ledger

Record = DayUse | Bench | Learned

_WORTH_KEEPING = 5.0
"""Seconds; a rest that is shorter is over before anybody could have restarted."""


class Records:
    """Tells what has changed in ledgers since it was last asked."""

    def __init__(self, ledgers: Mapping[str, Ledger]) -> None:
        """Take the ledger of each provider."""
        self._ledgers = ledgers
        self._told: dict[tuple[type[Record], tuple[str, ...]], Record] = {}

    def collect(self) -> Ledgers:
        """Return what has changed."""
        changed = [record for ledger in self._ledgers.values() for record in _records(ledger) if self._is_news(record)]
        return Ledgers(
            tuple(record for record in changed if isinstance(record, DayUse)),
            tuple(record for record in changed if isinstance(record, Bench)),
            tuple(record for record in changed if isinstance(record, Learned)),
        )

    def _is_news(self, record: Record) -> bool:
        place = type(record), record.key
        known = self._told.get(place)
        if known == record or (known is None and isinstance(record, DayUse) and not record.requests):
            return False
        self._told[place] = record
        return True


def restore(ledgers: Mapping[str, Ledger], kept: Ledgers, now: float) -> None:
    """Put what was kept back into ledgers; what is about keys or providers that are gone is left out."""
    for learned in kept.learned:
        if (account := _account(ledgers, learned)) is not None:
            account.learn(learned.quota)
    for use in kept.day_uses:
        if (account := _account(ledgers, use)) is not None:
            account.expire(now)
            account.day_requests, account.day_tokens = use.requests, use.tokens
    for bench in kept.benches:
        ledger = ledgers.get(bench.provider)
        if ledger is not None and bench.until > now:
            _restore_bench(ledger, bench, now)
    for ledger in ledgers.values():
        ledger.count_limits()


def _account(ledgers: Mapping[str, Ledger], record: DayUse | Learned) -> Account | None:
    ledger = ledgers.get(record.provider)
    return None if ledger is None else ledger.account(record.project, record.scope)


def _restore_bench(ledger: Ledger, bench: Bench, now: float) -> None:
    if bench.model is not None:
        account = ledger.account(bench.project, bench.model)
        if account is not None:
            account.close(now, bench.until, bench.reason)
        return
    for project in ledger.projects():
        for credential in list(project.keys.values()):
            if key_id(credential.key) == bench.key_id:
                project.bench(credential, bench.until, bench.reason)


def _records(ledger: Ledger) -> Iterable[Record]:
    provider = ledger.terms.provider
    for project in ledger.projects():
        for dead in project.dead.values():
            yield Bench(provider, project.name, key_id(dead.credential.key), None, dead.until, dead.reason)
    for account in ledger.accounts():
        yield from _of_account(provider, account)


def _of_account(provider: str, account: Account) -> Iterable[Record]:
    yield DayUse(provider, account.project, account.scope, account.day_ends, account.day_requests, account.day_tokens)
    if account.closed_until > account.closed_at + _WORTH_KEEPING:
        yield Bench(provider, account.project, None, account.scope, account.closed_until, account.closed_why)
    if account.learned != Quota():
        yield Learned(provider, account.project, account.scope, account.learned)

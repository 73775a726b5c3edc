"""When waiting tasks are likely to start."""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from synapse.domain.quota import Measure
from synapse.scheduling.account import SPAN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from synapse.scheduling.account import Account
    from synapse.scheduling.pool import Carrier, ModelPool


class Forecast:
    """The permits of one model that its windows allow from now on, in order.

    Every window repeats itself: a permit that is used the moment it is there is there again one span later. So the
    permits of one span, sorted, foretell all that follow, until the day's are used up. Instants are UTC.
    """

    __slots__ = ("_amounts", "_at_once", "_instants", "_now", "_today", "_tokens_at", "_tomorrow")

    def __init__(self, pool: ModelPool, now: float, *, seconds: float | None) -> None:
        """Look at the accounts as they are; `seconds` is how long an attempt takes, where that is known."""
        alive = [carrier for carrier in pool.carriers if carrier.project.alive]
        for carrier in alive:
            for account in carrier.accounts:
                account.expire(now)
        self._now = now
        usable = [carrier for carrier in alive if _closed_until(carrier) < now + SPAN and _left_today(carrier) > 0]
        self._instants = _request_instants(usable, now)
        self._tokens_at, self._amounts = _token_instants(usable, now)
        self._at_once = _pace(usable, seconds)
        self._today = sum([_left_today(carrier) for carrier in usable])
        self._tomorrow = min([_next_day(carrier, now) for carrier in alive], default=math.inf)

    def start(self, ahead: int, tokens: int) -> float | None:
        """Return when a task starts that has so many others, and tokens with its own, before it; None: not known."""
        if ahead >= self._today:
            return self._after_the_day(ahead - int(self._today))
        known = [
            at for at in (self._by_requests(ahead), self._by_tokens(tokens), self._by_pace(ahead)) if at is not None
        ]
        return max(known, default=None)

    def _after_the_day(self, ahead: int) -> float:
        """Return when a task starts that has to wait for a new day, with so many before it."""
        rounds = ahead // len(self._instants) if self._instants else 0
        return self._tomorrow + rounds * SPAN

    def _by_requests(self, ahead: int) -> float | None:
        if not self._instants:
            return None
        rounds, place = divmod(ahead, len(self._instants))
        return self._instants[place] + rounds * SPAN

    def _by_tokens(self, tokens: int) -> float | None:
        if not self._amounts or self._amounts[-1] <= 0:
            return None
        rounds, rest = divmod(max(0, tokens - 1), self._amounts[-1])
        return self._tokens_at[bisect_left(self._amounts, rest + 1)] + rounds * SPAN

    def _by_pace(self, ahead: int) -> float | None:
        """Return when enough attempts will have ended, where so many run at once that the next must wait for one."""
        if self._at_once is None:
            return None
        free, at_once, seconds = self._at_once
        if ahead < free:
            return self._now
        return self._now + (ahead - free + 1) / at_once * seconds


def _closed_until(carrier: Carrier) -> float:
    return max([account.closed_until for account in carrier.accounts])


def _left_today(carrier: Carrier) -> float:
    return carrier.left(Measure.RPD)


def _next_day(carrier: Carrier, now: float) -> float:
    """Return when a carrier goes on that is closed, or has used up what it has left."""
    closed_until = _closed_until(carrier)
    if closed_until >= now + SPAN and _left_today(carrier) > 0:
        return closed_until
    days = [account.day_ends for account in carrier.accounts if account.quota.rpd is not None]
    return max([*days, closed_until])


def _request_instants(carriers: Sequence[Carrier], now: float) -> list[float] | None:
    """Return when each request of one span may go, or None when the number is not limited."""
    found: list[float] = []
    for carrier in carriers:
        of_carrier = [_instants_of(account, now) for account in carrier.accounts]
        limited = [instants for instants in of_carrier if instants is not None]
        if limited:
            found += [max(instants) for instants in zip(*limited, strict=False)]
        elif _closed_until(carrier) <= now:
            return None
        else:
            found.append(_closed_until(carrier))
    return sorted(found)


def _instants_of(account: Account, now: float) -> list[float] | None:
    """Return when each request of one span may go by this account, in order."""
    rpm = account.quota.rpm if account.quota.rpm is not None else account.slow_start.limit
    if rpm is None:
        return None
    opens = max(now, account.closed_until)
    freed = [charge.at + SPAN for charge in account.charges for _ in range(charge.requests)]
    instants = [now] * max(0, rpm - account.requests) + freed
    return [max(opens, at) for at in instants[len(instants) - rpm :]]


def _token_instants(carriers: Sequence[Carrier], now: float) -> tuple[list[float], list[int]]:
    """Return instants of one span, and how many tokens may have gone until each; nothing when they are not limited."""
    freed: list[tuple[float, int]] = []
    for carrier in carriers:
        account = min(carrier.accounts, key=lambda each: each.left(Measure.TPM))
        if account.quota.tpm is None:
            return [], []
        opens = max(now, account.closed_until)
        free = account.quota.tpm - account.tokens
        freed.append((opens, max(0, free)))
        for charge in account.charges:
            more = charge.tokens + min(0, free)  # what is used beyond the limit must be freed first
            freed.append((max(opens, charge.at + SPAN), max(0, more)))
            free = min(0, more)
    freed.sort()
    return [at for at, _ in freed], list(accumulate(tokens for _, tokens in freed))


def _pace(carriers: Iterable[Carrier], seconds: float | None) -> tuple[float, float, float] | None:
    """Return how many may start at once, how many run at once, and how long each takes; None when it is no matter."""
    if seconds is None:
        return None
    at_once = sum(carrier.limit(Measure.CONCURRENCY) for carrier in carriers)
    if math.isinf(at_once) or not at_once:
        return None
    return sum(carrier.left(Measure.CONCURRENCY) for carrier in carriers), at_once, seconds

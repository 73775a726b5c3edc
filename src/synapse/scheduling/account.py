"""What one project has used of one model, and when it may use more."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from synapse.domain.quota import Measure, Quota
from synapse.domain.standing import Use
from synapse.scheduling.quota import MINUTE, day_end
from synapse.scheduling.slow_start import ANSWER, SlowStart, Step

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

MARGIN = 1.0
"""Seconds. A provider counts a request when it arrives, later than it was sent, by a delay that varies by less.

Two requests sent a minute and the margin apart arrive a minute apart at least; so no minute of the provider's, whether
it trails or begins with the clock's, ever holds more than one of ours.
"""
SPAN = MINUTE + MARGIN
"""Seconds for which a request counts against limits of a minute, from its sending."""
_KEPT = 4096
"""Requests of the window that are remembered where no limit of a minute is known, in case one has to be learned."""
NEVER = math.inf
"""The instant that does not come."""


class Charge(msgspec.Struct, gc=False):
    """What one request counts in one account."""

    at: float
    tokens: int
    requests: int
    """1; 0 once it was given back."""
    day: float
    """The end of the day it counts in."""
    counts: bool = True
    """Whether the minute's window still holds it."""
    step: Step | None = None


class Account:
    """Use and limits of a (project, model), or of a project and all models that share a quota.

    Minute windows trail: a request counts for a minute and a margin from its sending. Instants are UTC seconds.
    """

    __slots__ = (
        "charges",
        "closed_at",
        "closed_until",
        "closed_why",
        "configured",
        "day_ends",
        "day_requests",
        "day_tokens",
        "learned",
        "project",
        "quota",
        "requests",
        "running",
        "scope",
        "slow_start",
        "strikes",
        "tokens",
        "zone",
    )

    def __init__(self, project: str, scope: str, configured: Quota, zone: ZoneInfo) -> None:
        """Begin unused."""
        self.project = project
        self.scope = scope
        """A model's name, or the suffix of those that share."""
        self.configured = configured
        self.learned = Quota()
        self.quota = configured
        """The limits that hold: the stricter ones of what is configured and what was learned."""
        self.zone = zone
        self.charges: deque[Charge] = deque()
        self.requests = 0
        self.tokens = 0
        self.day_requests = 0
        self.day_tokens = 0
        self.day_ends = 0.0
        self.running = 0
        self.closed_at = 0.0
        self.closed_until = 0.0
        self.closed_why = ""
        self.strikes = 0
        """Refusals in a row that explained nothing."""
        self.slow_start = SlowStart(over=configured.rpm is not None)

    # --- time

    def expire(self, now: float) -> None:
        """Forget what belongs to minutes and days that are over."""
        charges = self.charges
        while charges and charges[0].at + SPAN <= now:
            self._drop()
        if now >= self.day_ends:
            self.day_requests = self.day_tokens = 0
            self.day_ends = day_end(now, self.zone)

    def _drop(self) -> None:
        charge = self.charges.popleft()
        charge.counts = False
        self.requests -= charge.requests
        self.tokens -= charge.tokens

    def opens_at(self, tokens: int, now: float, requests: int = 1) -> float:
        """Return when a request of so many input tokens may be sent, or some together: past is now. Expire first.

        A request larger than a whole window goes when the window is empty: the estimate may be wrong. None goes in a
        day's last moment where days are limited: nobody could tell in which of the two it would count.
        """
        quota = self.quota
        at = self.closed_until
        if quota.rpm is not None and self.requests + requests > quota.rpm:
            at = max(at, self._freed_at(self.requests + requests - quota.rpm, 0))
        if quota.tpm is not None and self.tokens + tokens > quota.tpm and self.tokens:
            at = max(at, self._freed_at(0, self.tokens + min(tokens, quota.tpm) - quota.tpm))
        if quota.rpd is not None and self.day_requests + requests > quota.rpd:
            at = max(at, self.day_ends if quota.rpd else NEVER)
        if quota.tpd is not None and self.day_tokens + tokens > quota.tpd and self.day_tokens:
            at = max(at, self.day_ends)
        if now > self.day_ends - MARGIN and (quota.rpd is not None or quota.tpd is not None):
            at = max(at, self.day_ends)
        if at > now:
            return at
        if quota.concurrency is not None and self.running + requests > quota.concurrency:
            return ANSWER
        return at if self.slow_start.over else max(at, self.slow_start.opens_at(self.requests, now))

    def frees_at(self, now: float) -> float:
        """Return when more may be used than now though nothing is answered; after now."""
        self.expire(now)
        instants = [self.day_ends, self.closed_until, self.charges[0].at + SPAN if self.charges else NEVER]
        if not self.slow_start.over:
            instants.append(self.slow_start.opens_at(self.requests, now))
        return min([instant for instant in instants if instant > now])

    def _freed_at(self, requests: int, tokens: int) -> float:
        """Return when so many requests and tokens have left the minute's window."""
        for charge in self.charges:
            requests -= charge.requests
            tokens -= charge.tokens
            if requests <= 0 and tokens <= 0:
                return charge.at + SPAN
        return NEVER  # a limit of nothing

    # --- use

    def charge(self, tokens: int, now: float) -> Charge:
        """Count a request that is sent now."""
        charge = Charge(now, tokens, 1, self.day_ends)
        if not self.slow_start.over:
            charge.step = self.slow_start.sent(now)
        self.charges.append(charge)
        self.requests += 1
        self.tokens += tokens
        self.day_requests += 1
        self.day_tokens += tokens
        self.running += 1
        if len(self.charges) > _KEPT and self.quota.rpm is None and self.quota.tpm is None:
            self._drop()
        return charge

    def correct(self, charge: Charge, tokens: int) -> None:
        """Put what was reported in the place of what was estimated."""
        self._change(charge, charge.requests, tokens)

    def give_back(self, charge: Charge) -> None:
        """Count a request no more: it cost nothing."""
        self._change(charge, 0, 0)

    def _change(self, charge: Charge, requests: int, tokens: int) -> None:
        more_requests, more_tokens = requests - charge.requests, tokens - charge.tokens
        charge.requests, charge.tokens = requests, tokens
        if charge.counts:
            self.requests += more_requests
            self.tokens += more_tokens
        if charge.day == self.day_ends:
            self.day_requests += more_requests
            self.day_tokens += more_tokens

    def answered(self, charge: Charge, now: float, *, accepted: bool) -> None:
        """Note that a request is no longer on its way."""
        self.running -= 1
        if charge.step is not None:
            self.slow_start.answered(charge.step, self.requests, now, accepted=accepted)
        if accepted and charge.at > self.closed_at:
            self.strikes = 0

    def heard(self, charge: Charge, now: float) -> None:
        """Note that a request has begun to be answered: it was not refused."""
        if charge.step is not None:
            self.slow_start.answered(charge.step, self.requests, now, accepted=True)

    # --- what is learned

    def learn(self, quota: Quota) -> bool:
        """Know limits from the provider itself; return whether that is news."""
        learned = quota.over(self.learned)
        news = learned != self.learned
        self.learned = learned
        self.quota = learned.within(self.configured)
        if quota.rpm is not None:
            self.slow_start.over = True
        return news

    def close(self, now: float, until: float, why: str) -> bool:
        """Send nothing before an instant; return whether that is longer than was known."""
        if until <= self.closed_until or until <= now:
            return False
        self.closed_at, self.closed_until, self.closed_why = now, until, why
        return True

    def spend_day(self, measure: Measure) -> None:
        """Know that a limit of the day is used up, whatever was counted here."""
        if measure is Measure.RPD and self.quota.rpd is not None:
            self.day_requests = max(self.day_requests, self.quota.rpd)
        if measure is Measure.TPD and self.quota.tpd is not None:
            self.day_tokens = max(self.day_tokens, self.quota.tpd)

    def used_elsewhere(self, measure: Measure, remaining: int, now: float) -> None:
        """Count what others use of the same limit: the provider says that less is left than we thought."""
        if measure is Measure.RPM and self.quota.rpm is not None:
            self._count_foreign(self.quota.rpm - remaining - self.requests, 0, now)
        elif measure is Measure.TPM and self.quota.tpm is not None:
            self._count_foreign(0, self.quota.tpm - remaining - self.tokens, now)
        elif measure is Measure.RPD and self.quota.rpd is not None:
            self.day_requests = max(self.day_requests, self.quota.rpd - remaining)
        elif measure is Measure.TPD and self.quota.tpd is not None:
            self.day_tokens = max(self.day_tokens, self.quota.tpd - remaining)

    def _count_foreign(self, requests: int, tokens: int, now: float) -> None:
        if requests > 0 or tokens > 0:
            charge = Charge(now, max(0, tokens), max(0, requests), 0.0)
            self.charges.append(charge)
            self.requests += charge.requests
            self.tokens += charge.tokens

    # --- what is left

    def headroom(self) -> float:
        """Return the share of the scarcest limit that is left, from 0 to 1."""
        quota, left = self.quota, 1.0
        if quota.rpm:
            left = min(left, 1.0 - self.requests / quota.rpm)
        if quota.tpm:
            left = min(left, 1.0 - self.tokens / quota.tpm)
        if quota.rpd:
            left = min(left, 1.0 - self.day_requests / quota.rpd)
        if quota.tpd:
            left = min(left, 1.0 - self.day_tokens / quota.tpd)
        return left

    def left(self, measure: Measure) -> float:
        """Return what is left of a limit, infinite where there is none."""
        limit = getattr(self.quota, measure)
        return math.inf if limit is None else max(0, limit - self.used(measure))

    def used(self, measure: Measure) -> int:
        """Return what is used of a limit."""
        match measure:
            case Measure.RPM:
                return self.requests
            case Measure.TPM:
                return self.tokens
            case Measure.RPD:
                return self.day_requests
            case Measure.TPD:
                return self.day_tokens
            case Measure.CONCURRENCY:
                return self.running

    def uses(self, now: float) -> tuple[Use, ...]:
        """Tell how much of each limit is used, for people."""
        self.expire(now)
        return tuple(self._use(measure) for measure in Measure)

    def _use(self, measure: Measure) -> Use:
        limit, used = getattr(self.quota, measure), self.used(measure)
        reopens_at = self._reopens_at(measure, limit) if limit is not None and used >= limit else None
        return Use(measure, used, limit, reopens_at if reopens_at is not None and reopens_at < ANSWER else None)

    def _reopens_at(self, measure: Measure, limit: int) -> float | None:
        match measure:
            case Measure.RPM:
                return self._freed_at(self.requests - limit + 1, 0)
            case Measure.TPM:
                return self._freed_at(0, self.tokens - limit + 1)
            case Measure.CONCURRENCY:
                return None
            case _:
                return self.day_ends

"""Quotas of a project for a model: what was used of them, and what a request would break.

Plain functions of (spending, now). A request counts when it arrives, and is not counted when it is refused.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

from synapse.domain.quota import Measure, Quota

MINUTE = 60.0
DAILY = frozenset({Measure.RPD, Measure.TPD})
_TOKENS = frozenset({Measure.TPM, Measure.TPD})
_SOON = 1.0
"""Seconds after which to come back where too much is going on at once: nobody knows when that ends."""


class Window(StrEnum):
    """What a minute is."""

    FIXED = "fixed"
    """From one full minute of the clock to the next."""
    TRAILING = "trailing"
    """The last sixty seconds."""


class Spending(msgspec.Struct):
    """What a project used of a model."""

    recent: deque[tuple[float, int]] = msgspec.field(default_factory=deque)
    """When each request of this minute came, and its input tokens; oldest first."""
    tokens: int = 0
    """The input tokens of `recent`."""
    today: int = 0
    """The requests of this day."""
    tokens_today: int = 0
    """Their input tokens."""
    day_ends: float = 0.0
    in_flight: int = 0
    """The requests that are being answered now."""

    def used(self, measure: Measure) -> int:
        """Return how much of a limit is taken."""
        match measure:
            case Measure.RPM:
                return len(self.recent)
            case Measure.TPM:
                return self.tokens
            case Measure.RPD:
                return self.today
            case Measure.TPD:
                return self.tokens_today
            case Measure.CONCURRENCY:
                return self.in_flight


class Violation(msgspec.Struct, frozen=True):
    """A limit that a request would exceed."""

    measure: Measure
    limit: int | None
    """None where the answer is not to tell it."""
    used: int
    opens_in: float
    """Seconds until the request would fit this limit, or, where it never will, until the window is empty."""


class Allowance(msgspec.Struct, frozen=True):
    """What is left of one limit."""

    limit: int
    remaining: int
    resets_in: float
    """Seconds until all of it is there again."""


class Standing(msgspec.Struct, frozen=True):
    """What is left of a project's limits; None where there is none."""

    requests: Allowance | None = None
    tokens: Allowance | None = None


def expire(spending: Spending, window: Window, zone: str, now: float) -> None:
    """Forget what belongs to minutes and days that are over."""
    recent = spending.recent
    begin = now - now % MINUTE if window is Window.FIXED else now - MINUTE
    while recent and (recent[0][0] < begin if window is Window.FIXED else recent[0][0] <= begin):
        spending.tokens -= recent.popleft()[1]
    if now >= spending.day_ends:
        spending.today = spending.tokens_today = 0
        spending.day_ends = midnight_after(now, ZoneInfo(zone))


def violations(spending: Spending, limits: Quota, window: Window, tokens: int, now: float) -> tuple[Violation, ...]:
    """Name every limit that a request with so many input tokens would exceed now. The spending must be expired."""
    broken = []
    for measure in Measure:
        limit: int | None = getattr(limits, measure)
        used = spending.used(measure)
        excess = used + (tokens if measure in _TOKENS else 1) - limit if limit is not None else 0
        if excess > 0:
            broken.append(Violation(measure, limit, used, _opens_in(spending, window, measure, excess, now)))
    return tuple(broken)


def record(spending: Spending, tokens: int, now: float) -> None:
    """Count a request that was let in."""
    spending.recent.append((now, tokens))
    spending.tokens += tokens
    spending.today += 1
    spending.tokens_today += tokens
    spending.in_flight += 1


def standing(spending: Spending, limits: Quota, window: Window, now: float) -> Standing:
    """Tell what is left now: of a minute, or of a day where no minute is limited."""
    minute, day = _resets_in(spending, window, now), spending.day_ends - now

    def allowance(measure: Measure, resets_in: float) -> Allowance | None:
        limit: int | None = getattr(limits, measure)
        return None if limit is None else Allowance(limit, max(0, limit - spending.used(measure)), resets_in)

    return Standing(
        requests=allowance(Measure.RPM, minute) or allowance(Measure.RPD, day),
        tokens=allowance(Measure.TPM, minute) or allowance(Measure.TPD, day),
    )


def midnight_after(now: float, zone: ZoneInfo) -> float:
    """Return the next midnight in a time zone, in seconds since the epoch; days of 23 and 25 hours included."""
    today = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return (today + timedelta(days=1)).timestamp()


def _resets_in(spending: Spending, window: Window, now: float) -> float:
    if not spending.recent:
        return 0.0
    if window is Window.FIXED:
        return MINUTE - now % MINUTE
    return spending.recent[-1][0] + MINUTE - now


def _opens_in(spending: Spending, window: Window, measure: Measure, excess: int, now: float) -> float:
    """Seconds until so many requests or tokens have left their window."""
    if measure is Measure.CONCURRENCY:
        return _SOON
    if measure in DAILY:
        return spending.day_ends - now
    if window is Window.FIXED:
        return MINUTE - now % MINUTE
    for arrived, tokens in spending.recent:
        excess -= tokens if measure in _TOKENS else 1
        if excess <= 0:
            return arrived + MINUTE - now
    return MINUTE

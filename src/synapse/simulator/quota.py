"""Quotas of a project for a model: what was used of them, and what a request would break.

Plain functions of (spending, now). A request counts when it arrives, and is not counted when it is refused.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

import msgspec

MINUTE = 60.0


class Window(StrEnum):
    """What a minute is."""

    FIXED = "fixed"
    """From one full minute of the clock to the next."""
    TRAILING = "trailing"
    """The last sixty seconds."""


class Measure(StrEnum):
    """What a limit counts."""

    REQUESTS_PER_MINUTE = "rpm"
    TOKENS_PER_MINUTE = "tpm"
    """Input tokens."""
    REQUESTS_PER_DAY = "rpd"


class Limits(msgspec.Struct, frozen=True):
    """How much is allowed; None is no limit, 0 is a model that the project may not use."""

    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything is limited."""
        return self.rpm is not None or self.tpm is not None or self.rpd is not None


class Spending(msgspec.Struct):
    """What a project used of a model."""

    recent: deque[tuple[float, int]] = msgspec.field(default_factory=deque)
    """When each request of this minute came, and its input tokens; oldest first."""
    tokens: int = 0
    """The input tokens of `recent`."""
    today: int = 0
    """The requests of this day."""
    day_ends: float = 0.0


class Violation(msgspec.Struct, frozen=True):
    """A limit that a request would exceed."""

    measure: Measure
    limit: int
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


_UNLIMITED = Standing()


def expire(spending: Spending, window: Window, zone: str, now: float) -> None:
    """Forget what belongs to minutes and days that are over."""
    recent = spending.recent
    begin = now - now % MINUTE if window is Window.FIXED else now - MINUTE
    while recent and (recent[0][0] < begin if window is Window.FIXED else recent[0][0] <= begin):
        spending.tokens -= recent.popleft()[1]
    if now >= spending.day_ends:
        spending.today = 0
        spending.day_ends = midnight_after(now, ZoneInfo(zone))


def violations(spending: Spending, limits: Limits, window: Window, tokens: int, now: float) -> tuple[Violation, ...]:
    """Name every limit that a request with so many input tokens would exceed now. The spending must be expired."""
    broken = []
    requests = len(spending.recent)
    if limits.rpm is not None and requests >= limits.rpm:
        opens = _opens_in(spending, window, now, requests=requests - limits.rpm + 1)
        broken.append(Violation(Measure.REQUESTS_PER_MINUTE, limits.rpm, requests, opens))
    if limits.tpm is not None and spending.tokens + tokens > limits.tpm:
        opens = _opens_in(spending, window, now, tokens=spending.tokens + tokens - limits.tpm)
        broken.append(Violation(Measure.TOKENS_PER_MINUTE, limits.tpm, spending.tokens, opens))
    if limits.rpd is not None and spending.today >= limits.rpd:
        opens = spending.day_ends - now
        broken.append(Violation(Measure.REQUESTS_PER_DAY, limits.rpd, spending.today, opens))
    return tuple(broken)


def record(spending: Spending, tokens: int, now: float) -> None:
    """Count a request that was let in."""
    spending.recent.append((now, tokens))
    spending.tokens += tokens
    spending.today += 1


def standing(spending: Spending, limits: Limits, window: Window, now: float) -> Standing:
    """Tell what is left now. The day's requests are told only where no minute's are limited."""
    resets_in = _resets_in(spending, window, now)
    requests = tokens = None
    if limits.rpm is not None:
        requests = Allowance(limits.rpm, max(0, limits.rpm - len(spending.recent)), resets_in)
    elif limits.rpd is not None:
        requests = Allowance(limits.rpd, max(0, limits.rpd - spending.today), spending.day_ends - now)
    if limits.tpm is not None:
        tokens = Allowance(limits.tpm, max(0, limits.tpm - spending.tokens), resets_in)
    return Standing(requests, tokens)


class Quotas:
    """The spending of all projects."""

    def __init__(self, limits: Limits, window: Window) -> None:
        """Take what each project may use of each model."""
        self._limits = limits
        self._window = window
        self._spendings: dict[tuple[str, str], Spending] = {}

    def admit(
        self, project: str, model: str, tokens: int, zone: str, now: float
    ) -> tuple[tuple[Violation, ...], Standing]:
        """Count a request if it fits; return what it would break, and what is left after it."""
        if not self._limits.any:
            return (), _UNLIMITED
        spending = self._spendings.setdefault((project, model), Spending())
        expire(spending, self._window, zone, now)
        broken = violations(spending, self._limits, self._window, tokens, now)
        if not broken:
            record(spending, tokens, now)
        return broken, standing(spending, self._limits, self._window, now)


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


def _opens_in(spending: Spending, window: Window, now: float, *, requests: int = 0, tokens: int = 0) -> float:
    """Seconds until at least so many requests and so many tokens have left the window."""
    if window is Window.FIXED:
        return MINUTE - now % MINUTE
    for arrived, used in spending.recent:
        requests -= 1
        tokens -= used
        if requests <= 0 and tokens <= 0:
            return arrived + MINUTE - now
    return MINUTE

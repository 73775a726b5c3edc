"""What OpenAI, OpenRouter and the servers that speak like OpenAI say of their limits, in headers and in words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from synapse.domain.failure import FailureClass
from synapse.domain.quota import Headroom, Measure, Violation
from synapse.providers.wires.faults import Verdict, duration, instant, number, retry_after, stated_delay, whole
from synapse.providers.wires.limits import measure, of_a_day

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

RATE_LIMITED: Final = frozenset({"rate_limit_exceeded", "ratelimitreached", "rate_limit_error", "rate_limit_reached"})
"""What errors of limits are called, where they are not called by what they limit."""
_NAMED = re.compile(
    r"(?:(?<!output )\b(?P<noun>requests?|tokens?)|(?P<free>free[-_](?:models|tier)))"
    r"[ _-](?:per[ _-])?(?P<period>min(?:ute)?|day|daily)\b",
    re.IGNORECASE,
)
"""A limit by its name: `tokens per min`, `free-models-per-day-high-balance`, `openrouter_free_tier_daily`."""
_VALUE = re.compile(r"(?: \(\w+\))?[.:,]? ?limit:? (\d+)(?![.,]?\d)", re.IGNORECASE)
"""What may follow the name: ` (TPM): Limit 30000, Used …`."""

_DAY = 86_400.0
_TOLERANCE = 0.1
"""How far from a day's length what is computed from a day's headers may be: they are rounded, and time has passed."""
_LONGEST_MINUTE = 120.0
"""Seconds; what takes longer to be there again belongs to a day."""
_MINUTE = 60.0
_SHORT_WINDOW = 3600.0
"""Seconds; a window that reopens later than this is that of a day, whatever it is called."""
_FIRST_EPOCH = 1e9
"""A reset above this is an instant, below it a number of seconds."""
_FIRST_MILLISECONDS = 1e12
_RESET = "x-ratelimit-reset"
"""OpenRouter's own name for when its limits reopen; it sends it with refusals only."""


class Window(msgspec.Struct, frozen=True):
    """One limit as the headers `x-ratelimit-{limit,remaining,reset}-{requests,tokens}` tell it."""

    counts: Literal["requests", "tokens"]
    limit: int | None
    remaining: int | None
    reset: float | None
    """Seconds until all of it is there again."""

    @property
    def daily(self) -> bool | None:
        """Whether it is a day's, for the headers of a day and of a minute have the same names; None: nothing tells."""
        if not self.reset:
            return None
        if self.reset > _LONGEST_MINUTE:
            return True
        if self.limit is None or self.remaining is None or self.remaining >= self.limit:
            return None
        # What was used comes back evenly, so all of it would take as long as the window lasts.
        lasts = self.reset * self.limit / (self.limit - self.remaining)
        return abs(lasts - _DAY) <= _TOLERANCE * _DAY

    @property
    def measure(self) -> Measure | None:
        """Which limit it is; None where that would be a guess: OpenAI's requests are a minute's, Groq's a day's."""
        daily = self.daily
        if daily is None and self.counts == "requests" and not (self.reset and self.reset <= _MINUTE):
            return None
        return measure(tokens=self.counts == "tokens", day=bool(daily))

    def violation(self) -> Violation:
        """Say that it is used up."""
        known = self.measure
        return Violation(Measure.RPM) if known is None else Violation(known, self.limit)


def headroom(headers: Mapping[str, str]) -> tuple[Headroom, ...]:
    """Say what the headers of a good answer tell of limits. Header names are in any case, or in lower case."""
    if "x-ratelimit-limit-requests" not in headers and "x-ratelimit-limit-tokens" not in headers:
        return ()
    return tuple(
        Headroom(known, window.limit, window.remaining, window.reset)
        for window in _windows(headers)
        if window.limit is not None and (known := window.measure) is not None
    )


def judge_limit(names: Collection[str], headers: Mapping[str, str], said: str) -> Verdict:
    """Say what a 429 teaches, by the error's names, its headers (in lower case), and all it says in words."""
    named = _NAMED.search(said)
    windows = _windows(headers)
    violations = _violations(named, names, headers, said)
    shared = named is not None and named["free"] is not None
    delay = _delay(violations, windows, headers, said)
    if not (violations or _RESET in headers or RATE_LIMITED.intersection(names) or any(each.reset for each in windows)):
        return Verdict(FailureClass.RATE_LIMITED, delay)
    day = of_a_day(violations) or (delay is not None and delay > _SHORT_WINDOW)
    return Verdict(FailureClass.QUOTA_DAY if day else FailureClass.QUOTA_MINUTE, delay, violations, shared)


def _violations(
    named: re.Match[str] | None, names: Collection[str], headers: Mapping[str, str], said: str
) -> tuple[Violation, ...]:
    if named is not None:
        return (_named_violation(named, headers, said),)
    if _RESET in headers:
        return _own_violation(headers)
    windows = _windows(headers)
    called = [window for window in windows if window.counts in names]
    return tuple(window.violation() for window in called or windows if called or window.remaining == 0)


def _named_violation(named: re.Match[str], headers: Mapping[str, str], said: str) -> Violation:
    """Read a limit that is named; its value stands behind the name, or in the headers of the same limit."""
    tokens = (named["noun"] or "").lower().startswith("token")
    known = measure(tokens=tokens, day=named["period"].lower().startswith("da"))
    value = _VALUE.match(said, named.end())
    if value is not None:
        return Violation(known, whole(value[1]) or None)
    if _is_own(headers):
        return Violation(known, whole(headers.get("x-ratelimit-limit")) or None)
    return Violation(known, next((window.limit for window in _windows(headers) if window.measure is known), None))


def _own_violation(headers: Mapping[str, str]) -> tuple[Violation, ...]:
    """Read one of OpenRouter's limits that has no name."""
    seconds = _until(headers)
    if seconds is None or not _is_own(headers):
        return ()
    day = seconds > _SHORT_WINDOW
    return (Violation(measure(tokens=False, day=day), whole(headers.get("x-ratelimit-limit")) or None),)


def _is_own(headers: Mapping[str, str]) -> bool:
    """Tell whether a limit is OpenRouter's, whose reset is an instant; others have limits of other periods there."""
    return number(headers.get(_RESET, "")) > _FIRST_EPOCH


def _delay(
    violations: Collection[Violation], windows: Collection[Window], headers: Mapping[str, str], said: str
) -> float | None:
    """Seconds until what is used up is open again, where anything says so."""
    until, hint = _until(headers), retry_after(headers)
    # Beside a day that is used up a hint of seconds may be wrong.
    first, second = (until, hint) if of_a_day(violations) else (hint, until)
    for delay in (first, second, _reset(violations, windows), stated_delay(said)):
        if delay is not None:
            return delay
    return None


def _reset(violations: Collection[Violation], windows: Collection[Window]) -> float | None:
    """Seconds until the windows that are used up open again; until all do, where it is not known which those are."""
    measures = {violation.measure for violation in violations}
    resets = [
        window.reset for window in windows if window.reset and (not measures or window.violation().measure in measures)
    ]
    return max(resets, default=None)


def _until(headers: Mapping[str, str], name: str = _RESET) -> float | None:
    """Seconds until a reset: an instant in seconds or, as OpenRouter has it, milliseconds; or already a duration."""
    reset = number(headers.get(name, ""))
    if reset > _FIRST_EPOCH:
        now = instant(headers.get("date", ""))
        then = reset / 1000.0 if reset > _FIRST_MILLISECONDS else reset
        reset = then - now if now is not None else 0.0
    return reset if reset > 0 else None


def _windows(headers: Mapping[str, str]) -> list[Window]:
    found = [_window("requests", headers), _window("tokens", headers)]
    return [window for window in found if (window.limit, window.remaining, window.reset) != (None, None, None)]


def _window(counts: Literal["requests", "tokens"], headers: Mapping[str, str]) -> Window:
    """Read one window. A limit of nothing is none: no answer, and no reset, would come of it."""
    reset = f"x-ratelimit-reset-{counts}"
    seconds = duration(headers.get(reset, ""))
    return Window(
        counts,
        whole(headers.get(f"x-ratelimit-limit-{counts}")) or None,
        whole(headers.get(f"x-ratelimit-remaining-{counts}")),
        seconds if seconds is not None else _until(headers, reset),
    )

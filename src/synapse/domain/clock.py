"""Time, passed in wherever it is needed, so that tests own it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Timer(Protocol):
    """A callback that has not run yet."""

    def cancel(self) -> None:
        """Forget the callback; harmless when it has run or was cancelled already."""


class Clock(Protocol):
    """The time of day, a time that never goes back, and callbacks after a while. All in seconds."""

    def now(self) -> float:
        """Seconds since the Unix epoch, UTC: for instants that people read or that outlive the process."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment, never going back: for durations and deadlines."""

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run the callback on the event loop after `delay` seconds."""


MOMENT = 0.02
"""Seconds; nearly all timers are cancelled before they are this old."""


class SystemClock:
    """The real clock; timers run on the running event loop.

    A timer of the loop costs more than most of what a request needs one for, and nearly all are cancelled within a
    moment, their requests answered. So a timer enters the loop only when it has lived for a moment; until then it
    stands in a list, for all of which there is one timer. That makes no timer late.
    """

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        """Begin without timers."""
        self._young: list[_YoungTimer] = []

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run the callback on the running event loop after `delay` seconds."""
        loop = asyncio.get_running_loop()
        if delay <= MOMENT:
            return loop.call_later(delay, callback)
        if not self._young:
            loop.call_later(MOMENT, self._let_in)
        timer = _YoungTimer(loop.time() + delay, callback)
        self._young.append(timer)
        return timer

    def _let_in(self) -> None:
        """Give those that are still wanted to the loop."""
        young, self._young = self._young, []
        loop = asyncio.get_running_loop()
        for timer in young:
            timer.enter(loop)


class _YoungTimer:
    """A timer that may not be worth one of the loop."""

    __slots__ = ("_callback", "_handle", "_when")

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self._when = when
        self._callback: Callable[[], object] | None = callback
        self._handle: asyncio.TimerHandle | None = None

    def enter(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._callback is not None:
            self._handle = loop.call_at(self._when, self._callback)

    def cancel(self) -> None:
        self._callback = None
        if self._handle is not None:
            self._handle.cancel()

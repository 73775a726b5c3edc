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


class SystemClock:
    """The real clock; timers run on the running event loop."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    def call_later(self, delay: float, callback: Callable[[], object]) -> Timer:
        """Run the callback on the running event loop after `delay` seconds."""
        return asyncio.get_running_loop().call_later(delay, callback)

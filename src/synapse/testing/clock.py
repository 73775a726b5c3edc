"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS = 60
"""Turns of the event loop after which what one event set off has run: a turn for each hop from task to task."""


async def settle() -> None:
    """Let the event loop run until nothing that can go on without the passing of time is left to do."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(0)


class _FakeTimer:
    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """Implements `synapse.domain.clock.Clock`; time passes only in `advance` and `elapse`."""

    def __init__(self, now: float = 1_767_225_600.0) -> None:
        """Begin at a moment in UTC seconds."""
        self._started_at = now
        self._passed = 0.0
        self._timers: list[tuple[float, int, _FakeTimer]] = []
        self._numbers = itertools.count()

    @property
    def timers(self) -> int:
        """How many callbacks are still to come."""
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def now(self) -> float:
        """UTC seconds."""
        return self._started_at + self._passed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._passed

    def call_later(self, delay: float, callback: Callable[[], object]) -> _FakeTimer:
        """Have a callback run when time has come that far."""
        timer = _FakeTimer(self._passed + max(0.0, delay), callback)
        heapq.heappush(self._timers, (timer.at, next(self._numbers), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Move on; callbacks that fall due run in the order of their times, each at its own time."""
        until = self._passed + seconds
        while self._step(until):
            pass

    async def elapse(self, seconds: float) -> None:
        """Move on as real time does: whatever a callback sets off happens before the next one's time has come."""
        until = self._passed + seconds
        await settle()
        while self._step(until):
            await settle()
        await settle()

    def _step(self, until: float) -> bool:
        """Run the next callback due by then and return True; where there is none, be there."""
        while self._timers and self._timers[0][0] <= until:
            at, _, timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._passed = max(self._passed, at)
                timer.callback()
                return True
        self._passed = until
        return False

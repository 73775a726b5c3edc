"""Ends an attempt that stands still or takes too long."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from synapse.domain.clock import Clock, Timer


class Bite(Enum):
    """Why a watchdog ended what it watched."""

    STALLED = "stalled"
    OVERDUE = "overdue"


class Watchdog:
    """Cancels the block it guards when nothing has moved for `stall` seconds, or `limit` seconds have passed in all.

    The cancellation ends at the block's border; `bite` then says why. Unlike `asyncio.timeout`, noting progress costs
    no timer: there is one, and it looks at the time of the last progress only when it goes off. One from outside
    passes through.
    """

    __slots__ = ("_alarm", "_cancelling", "_clock", "_end", "_moved_at", "_resting", "_task", "bite", "stall")

    def __init__(self, clock: Clock, *, stall: float, limit: float) -> None:
        """Take both limits in seconds; the watch begins with the block."""
        self._clock = clock
        self.stall = stall
        """Seconds that may pass without progress."""
        self._end = limit
        self._moved_at = 0.0
        self._resting = False
        self._alarm: Timer | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self.bite: Bite | None = None

    def progress(self) -> None:
        """Note that something has moved, and that the next move is awaited."""
        self._moved_at = self._clock.monotonic()
        self._resting = False

    def expect(self, stall: float) -> None:
        """Allow another number of seconds without progress from here on."""
        sooner = stall < self.stall
        self.stall = stall
        if sooner and self._alarm is not None:
            self._alarm.cancel()
            # A timer even where no time is left: a bite here, where nobody waits, could strike behind the block.
            self._alarm = self._clock.call_later(max(0.0, self._left(self._clock.monotonic())), self._look)

    def rest(self) -> None:
        """Expect no move before the next `progress`: what is waited for now is not the watched side's to do."""
        self._resting = True

    def __enter__(self) -> Self:
        """Begin to watch the current asyncio task."""
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("a watchdog watches the asyncio task it is used in, and here is none")
        self._cancelling = self._task.cancelling()
        self._moved_at = self._clock.monotonic()
        # A timer even where no time is left: a bite before the block's first wait would strike behind the block.
        self._alarm = self._clock.call_later(max(0.0, min(self.stall, self._end)), self._look)
        self._end += self._moved_at
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> bool:
        """Stop watching; swallow the cancellation that was the watchdog's own, and only that."""
        if self._alarm is not None:
            self._alarm.cancel()
        if self.bite is None or self._task is None:
            return False
        return self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError

    def _look(self) -> None:
        now = self._clock.monotonic()
        if self._resting:
            self._moved_at = now
        left = self._left(now)
        if left > 0:
            self._alarm = self._clock.call_later(left, self._look)
            return
        self._alarm = None
        self.bite = Bite.OVERDUE if now >= self._end else Bite.STALLED
        if self._task is not None:
            self._task.cancel()

    def _left(self, now: float) -> float:
        return min(self._moved_at + self.stall, self._end) - now

"""What batch work must leave to the bands above it."""

from __future__ import annotations

import math
from collections import deque

SEEN = 600.0
"""Seconds for which somebody above batch counts as being there."""
_PARTS = 60
_LAST = 5
"""Windows that are looked back at."""


class Demand:
    """What the bands above batch use: of a window in amounts, and at once in numbers.

    A window that is spent cannot be taken back, so a part is kept free: as much as they used of the last windows, at
    most a share of the whole, and at least one request's worth while one of them was seen in the last ten turns.
    Instants are UTC seconds.
    """

    __slots__ = ("_amount", "_peaks", "_recent", "_seen_at", "_window", "running")

    def __init__(self, window: float) -> None:
        """Begin with nobody seen; the window's length is in seconds."""
        self._window = window
        self._recent: deque[tuple[int, int]] = deque()
        """What was used in each sixtieth of the window."""
        self._amount = 0
        self._peaks: dict[int, tuple[int, int]] = {}
        """For each window: the most used of it, and the most at once."""
        self._seen_at = -math.inf
        self.running = 0

    def sent(self, now: float, amount: int = 1) -> None:
        """Note a request of a band above batch."""
        self._expire(now)
        self._seen_at = now
        part = int(now / self._window * _PARTS)
        if self._recent and self._recent[-1][0] == part:
            amount_of_part = self._recent.pop()[1]
            self._recent.append((part, amount_of_part + amount))
        else:
            self._recent.append((part, amount))
        self._amount += amount
        self.running += 1
        turn = int(now // self._window)
        used, at_once = self._peaks.get(turn, (0, 0))
        self._peaks[turn] = max(used, self._amount), max(at_once, self.running)
        if len(self._peaks) > _LAST + 1:
            self._peaks = {each: peak for each, peak in self._peaks.items() if each >= turn - _LAST}

    def answered(self) -> None:
        """Note that it is no longer on its way."""
        self.running -= 1

    def there(self, now: float) -> bool:
        """Tell whether anybody above batch was seen lately."""
        return now - self._seen_at < SEEN

    def kept(self, now: float, whole: float, share: float) -> float:
        """Return how much of a window that holds `whole` must be kept free now; nothing when nobody is there."""
        if not self.there(now):
            return 0.0
        self._expire(now)
        return max(1.0, min(share * whole, self._peak(0, now)) - self._amount)

    def kept_at_once(self, now: float, whole: float, share: float) -> float:
        """The same of what may run at once."""
        if not self.there(now):
            return 0.0
        return max(1.0, min(share * whole, self._peak(1, now)) - self.running)

    def _peak(self, which: int, now: float) -> int:
        oldest = int(now // self._window) - _LAST
        return max((peak[which] for turn, peak in self._peaks.items() if turn >= oldest), default=0)

    def _expire(self, now: float) -> None:
        recent, over = self._recent, int(now / self._window * _PARTS) - _PARTS
        while recent and recent[0][0] <= over:
            self._amount -= recent.popleft()[1]

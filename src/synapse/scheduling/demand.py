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

    __slots__ = ("_amount", "_most", "_part", "_parts", "_peaks", "_per_second", "_seen_at", "running")

    def __init__(self, window: float) -> None:
        """Begin with nobody seen; the window's length is in seconds."""
        self._per_second = _PARTS / window
        self._part: float = -math.inf
        """The sixtieth of a window in which something was used last, counted from the epoch."""
        self._seen_at = -math.inf
        self._amount = 0
        """What was used in that."""
        self._most = 0
        """The most at once in that."""
        self._parts: deque[tuple[float, int]] = deque()
        """What was used in earlier ones of the last window."""
        self._peaks: dict[int, tuple[int, int]] = {}
        """For each window: the most used within the length of one, and the most at once."""
        self.running = 0

    def sent(self, now: float) -> None:
        """Note a request of a band above batch, which is on its way until `answered`."""
        self.used(now, 1)
        self.running += 1
        self._most = max(self._most, self.running)

    def used(self, now: float, amount: int) -> None:
        """Note what such a request uses of a window."""
        self._begin(now)
        self._amount += amount
        self._seen_at = now

    def _begin(self, now: float) -> None:
        """Put the last part to the others, and look back, when another one begins."""
        part = int(now * self._per_second)
        if part == self._part:
            return
        if self._part >= 0:
            self._parts.append((self._part, self._amount))
            self._note_peak()
        self._part, self._amount, self._most = part, 0, self.running

    def _note_peak(self) -> None:
        turn = int(self._part // _PARTS)
        used, at_once = self._peaks.get(turn, (0, 0))
        while self._parts[0][0] <= self._part - _PARTS:
            self._parts.popleft()
        self._peaks[turn] = max(used, sum([amount for _, amount in self._parts])), max(at_once, self._most)
        if len(self._peaks) > _LAST + 1:
            self._peaks = {each: peak for each, peak in self._peaks.items() if each >= turn - _LAST}

    def answered(self) -> None:
        """Note that it is no longer on its way."""
        self.running -= 1

    def there(self, now: float) -> bool:
        """Tell whether anybody above batch was seen lately."""
        return now < self._seen_at + SEEN

    def kept(self, now: float, whole: float, share: float) -> float:
        """Return how much of a window that holds `whole` must be kept free now; nothing when nobody is there."""
        if not self.there(now):
            return 0.0
        self._begin(now)
        used = self._amount + sum([amount for part, amount in self._parts if part > self._part - _PARTS])
        return max(1.0, min(share * whole, max(used, self._peak(0, now))) - used)

    def kept_at_once(self, now: float, whole: float, share: float) -> float:
        """The same of what may run at once; but never all of it, for what runs ends."""
        if not self.there(now):
            return 0.0
        self._begin(now)
        kept = max(1.0, min(share * whole, max(self._most, self._peak(1, now))) - self.running)
        return min(kept, whole - 1.0)

    def changes_at(self, now: float) -> float:
        """Return when less may be kept though nothing happens: a window is over, or nobody is there any more."""
        next_turn = (now * self._per_second // _PARTS + 1) * _PARTS / self._per_second
        return min(next_turn, self._seen_at + SEEN)

    def _peak(self, which: int, now: float) -> int:
        oldest = int(now * self._per_second // _PARTS) - _LAST
        return max((peak[which] for turn, peak in self._peaks.items() if turn >= oldest), default=0)

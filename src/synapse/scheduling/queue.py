"""What one caller has waiting in one band of a lane."""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from synapse.domain.caller import Caller

T = TypeVar("T")

UNIT = 720720 << 10
"""What a turn costs a caller of weight 1: divisible by the usual weights, so that tags, being integers, are exact."""

_STALE = 32
"""Numbers passed by before it is worth looking whether to drop them."""


class CallerQueue(Generic[T]):
    """One caller's waiting items, in order, each under a number that grows along the queue; and the caller's tag."""

    __slots__ = ("_head", "_items", "_numbers", "cost", "name", "start")

    def __init__(self, name: str, start: int) -> None:
        """Begin empty."""
        self.name = name
        self.start = start
        """The start tag of the first item; while nothing waits, the finish tag of the last that had its turn."""
        self.cost = UNIT
        """What a turn adds to the tag: 1 / weight."""
        self._numbers: list[int] = []
        """Ascending from `_head` on; what stands before that has left."""
        self._head = 0
        self._items: dict[int, T] = {}

    def __len__(self) -> int:
        """Count what waits."""
        return len(self._items)

    @property
    def turn(self) -> tuple[int, int, CallerQueue[T]]:
        """What its next turn is ordered by, among those of other callers: start tag, then arrival."""
        return self.start, self._numbers[self._head], self

    @property
    def first(self) -> T:
        """The first item."""
        return self._items[self._numbers[self._head]]

    @property
    def items(self) -> Iterable[T]:
        """All items, in no particular order."""
        return self._items.values()

    def get(self, number: int) -> T:
        """Return the item of a number."""
        return self._items[number]

    def weigh(self, caller: Caller) -> None:
        """Let turns cost what they do at the caller's weight, which may have changed since the last time."""
        self.cost = _cost(caller.weight)

    def append(self, number: int, item: T) -> None:
        """Put an item at the end, under a number greater than all others."""
        self._numbers.append(number)
        self._items[number] = item

    def prepend(self, number: int, item: T) -> None:
        """Put an item at the beginning, under a number less than all others."""
        if not self._head:
            room = 1 + len(self._numbers) // 8  # so that many that come back move the rest once, not each time
            self._numbers[:0] = [number] * room
            self._head = room
        self._head -= 1
        self._numbers[self._head] = number
        self._items[number] = item

    def remove(self, number: int) -> T:
        """Take an item out, wherever it stands."""
        numbers, head = self._numbers, self._head
        if numbers[head] == number:
            self._head = head = head + 1
            if head > _STALE and head * 2 > len(numbers):
                del numbers[:head]
                self._head = 0
        else:
            del numbers[bisect_left(numbers, number, head)]
        return self._items.pop(number)

    def rank(self, number: int) -> int:
        """Count the items that stand before one."""
        return bisect_left(self._numbers, number, self._head) - self._head

    def after(self, number: int) -> int | None:
        """Return the number of the item behind one; None behind the last."""
        place = bisect_left(self._numbers, number, self._head) + 1
        return self._numbers[place] if place < len(self._numbers) else None

    def before(self, tag: int, number: int) -> int:
        """Count the items that have their turn before an item of that start tag and number."""
        gap = tag - self.start
        if gap < 0:
            return 0
        turns = gap // self.cost
        size = len(self._items)
        if turns >= size:
            return size
        late = turns * self.cost == gap and self._numbers[self._head + turns] >= number
        return turns if late else turns + 1


@lru_cache(maxsize=256)
def _cost(weight: float) -> int:
    return max(1, round(UNIT / weight))

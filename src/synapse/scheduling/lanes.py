"""The order in which waiting tasks go, and how slots are shared among lanes."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


class Lanes(Generic[T]):
    """What waits for each model: first in, first out within a lane; lanes know nothing of each other."""

    def __init__(self) -> None:
        """Begin with nobody waiting."""
        self._lanes: dict[str, OrderedDict[str, T]] = {}
        self._size = 0

    def __len__(self) -> int:
        """Count all that waits."""
        return self._size

    def __iter__(self) -> Iterator[str]:
        """Go through the names of lanes in which something waits."""
        return iter(self._lanes)

    def __contains__(self, lane: str) -> bool:
        """Tell whether something waits in the lane."""
        return lane in self._lanes

    def peek(self, lane: str) -> T:
        """Return the first item of a lane in which something waits."""
        return next(iter(self._lanes[lane].values()))

    def push(self, lane: str, key: str, item: T, *, first: bool = False) -> None:
        """Put an item at the end of its lane, or, when it has been there before, at the beginning."""
        waiting = self._lanes.get(lane)
        if waiting is None:
            waiting = self._lanes[lane] = OrderedDict()
        waiting[key] = item
        if first:
            waiting.move_to_end(key, last=False)
        self._size += 1

    def pop(self, lane: str) -> T:
        """Take the first item out of a lane in which something waits."""
        waiting = self._lanes[lane]
        _, item = waiting.popitem(last=False)
        self._forget_if_empty(lane, waiting)
        self._size -= 1
        return item

    def remove(self, lane: str, key: str) -> bool:
        """Take an item out wherever it stands; return whether it was there."""
        waiting = self._lanes.get(lane)
        if waiting is None or waiting.pop(key, None) is None:
            return False
        self._forget_if_empty(lane, waiting)
        self._size -= 1
        return True

    def items(self, lane: str) -> list[T]:
        """Return what waits in a lane, in order."""
        return list(self._lanes.get(lane, {}).values())

    def _forget_if_empty(self, lane: str, waiting: OrderedDict[str, T]) -> None:
        if not waiting:
            del self._lanes[lane]


class Slots:
    """How many tasks one worker runs at once, and of which lanes.

    `total` is the number it runs when there is enough to do. No lane may starve another: a lane always gets its equal
    share of the slots of all busy lanes, even while others, which took the slots when they were alone, hold more than
    theirs. For as long as those run on, more than `total` run.
    """

    def __init__(self, total: int) -> None:
        """Begin with all slots free."""
        self.total = total
        self._running: Counter[str] = Counter()
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many tasks run."""
        return self._taken

    def take(self, lane: str) -> None:
        """Note that a task of the lane has started."""
        self._running[lane] += 1
        self._taken += 1

    def give_back(self, lane: str) -> None:
        """Note that a task of the lane has ended."""
        self._taken -= 1
        self._running[lane] -= 1
        if not self._running[lane]:
            del self._running[lane]

    def order(self, waiting: Iterable[str]) -> list[str]:
        """Return those of the waiting lanes that may start a task now: the one that runs least goes first."""
        running = self._running
        lanes = list(waiting)
        if len(lanes) == 1 and self._taken < self.total:
            return lanes
        if self._taken >= self.total:
            busy = len(running.keys() | set(lanes))
            share = max(1, self.total // busy) if busy else self.total
            lanes = [lane for lane in lanes if running[lane] < share]
        if len(lanes) > 1:
            lanes.sort(key=lambda lane: running[lane])
        return lanes

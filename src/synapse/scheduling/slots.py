"""How a worker's slots are shared among lanes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from synapse.domain.caller import Band

if TYPE_CHECKING:
    from collections.abc import Iterable

    from synapse.domain.task import Task


class Slots:
    """How many tasks one worker runs at once, and of which lanes.

    `total` is the number it runs when there is enough to do. No lane may starve another: a lane always gets its equal
    share of the slots of all busy lanes, even while others, which took the slots when they were alone, hold more than
    theirs. For as long as those run on, more than `total` run.
    """

    def __init__(self, total: int) -> None:
        """Begin with all slots free."""
        self.total = total
        self._running: Counter[tuple[str, str]] = Counter()
        self._taken = 0
        self._batch = 0

    @property
    def taken(self) -> int:
        """How many tasks run."""
        return self._taken

    @property
    def batch(self) -> int:
        """How many of them are of the batch band."""
        return self._batch

    def take(self, task: Task) -> None:
        """Note that a task has started."""
        self._running[task.lane] += 1
        self._taken += 1
        if task.band is Band.BATCH:
            self._batch += 1

    def give_back(self, task: Task) -> None:
        """Note that a task has ended."""
        lane = task.lane
        self._taken -= 1
        self._running[lane] -= 1
        if not self._running[lane]:
            del self._running[lane]
        if task.band is Band.BATCH:
            self._batch -= 1

    def order(self, waiting: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
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

"""Whose turn it is among the callers of one band of a lane."""

from __future__ import annotations

from bisect import bisect_left, insort
from heapq import heappop, heapreplace
from typing import TYPE_CHECKING, Generic, TypeVar

from synapse.scheduling.queue import CallerQueue

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

    from synapse.domain.caller import Band, Caller

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Start-time fair queueing (Goyal, Vin, Cheng: SIGCOMM 1996) between callers, each turn costing 1 / weight.

    Virtual time is the start tag of the last turn. A caller that begins to wait gets as its start tag the virtual
    time, or the finish tag of its own last turn if that is later; each turn moves it on by the turn's cost. The least
    start tag goes first, then the earlier arrival. When nothing waits any more all tags have been passed, and are
    forgotten.

    A sorted list of the callers' next turns stands in for a heap: with as many callers as there are, it is as fast,
    and nothing in it is ever out of date.
    """

    __slots__ = ("_held", "_idle", "_order", "_queues", "_virtual", "band", "lane", "ready", "size", "tokens")

    def __init__(self, lane: tuple[str, str], band: Band, held: AbstractSet[str]) -> None:
        """Begin empty, with the names of the callers on hold, which are kept elsewhere."""
        self.lane = lane
        self.band = band
        self.size = 0
        self.ready = 0
        """How many wait whose callers are not on hold."""
        self.tokens = 0
        """What those that wait are worth; kept by whoever knows."""
        self._held = held
        self._virtual = 0
        self._queues: dict[str, CallerQueue[T]] = {}
        """By caller: where something waits, or the tag is still ahead of virtual time."""
        self._order: list[tuple[int, int, CallerQueue[T]]] = []
        """The next turn of each caller that waits and is not on hold, in order."""
        self._idle: list[tuple[int, str]] = []
        """The tag and name of each caller that does not wait, in order: those to forget first."""

    @property
    def first(self) -> T | None:
        """The item that goes next; None when all callers are on hold."""
        return self._order[0][2].first if self._order else None

    @property
    def items(self) -> Iterator[T]:
        """All items, in no particular order."""
        for queue in self._queues.values():
            yield from queue.items

    def count(self, name: str) -> int:
        """Count what a caller has waiting."""
        return len(self._queues.get(name, ()))

    def push(self, item: T, number: int, caller: Caller, *, first: bool, refund: bool) -> CallerQueue[T]:
        """Put an item into its caller's queue, and return that; numbers are those of `CallerQueue`."""
        queue = self._queues.get(caller.name)
        if queue is None:
            queue = self._queues[caller.name] = CallerQueue(caller.name, self._virtual)
            refund = False  # what is forgotten is not given back
        elif not queue:
            del self._idle[bisect_left(self._idle, (queue.start, queue.name))]
        queue.weigh(caller)
        if queue and not first and not refund:
            queue.append(number, item)
        else:
            self._leave(queue)
            if refund:
                queue.start -= queue.cost
            (queue.prepend if first else queue.append)(number, item)
            self._enter(queue)
        self.size += 1
        self.ready += queue.name not in self._held
        return queue

    def take(self, queue: CallerQueue[T], number: int) -> None:
        """Let an item have its turn: its caller is charged."""
        self._leave(queue)
        self._virtual = max(self._virtual, queue.start)
        queue.start += queue.cost
        self._drop(queue, number)
        while self._idle and self._idle[0][0] <= self._virtual:
            del self._queues[self._idle.pop(0)[1]]

    def remove(self, queue: CallerQueue[T], number: int) -> None:
        """Take an item out; its caller is not charged."""
        self._leave(queue)
        self._drop(queue, number)

    def hold(self, name: str) -> None:
        """Pass over a caller, whose name is about to be among those on hold."""
        queue = self._queues.get(name)
        if queue:
            self._leave(queue)
            self.ready -= len(queue)

    def free(self, name: str) -> None:
        """Let a caller go again, whose name is no longer among those on hold.

        It joins as one that begins to wait does: the turns it could not have are not owed to it.
        """
        queue = self._queues.get(name)
        if queue:
            queue.start = max(self._virtual, queue.start)
            self._enter(queue)
            self.ready += len(queue)

    def ahead(self, queue: CallerQueue[T], number: int) -> int:
        """Count those that go before an item; if its caller is on hold: those that would if it were freed now."""
        rank = queue.rank(number)
        held = queue.name in self._held
        tag = (max(self._virtual, queue.start) if held else queue.start) + rank * queue.cost
        ahead = rank if held else 0
        for start, _, other in self._order:
            if start > tag:
                break
            ahead += other.before(tag, number)
        return ahead

    def upcoming(self) -> Iterator[T]:
        """Go through all items whose callers are not on hold, in the order in which they would go."""
        turns = self._order.copy()  # in order, which makes it a heap
        while turns:
            start, number, queue = turns[0]
            yield queue.get(number)
            behind = queue.after(number)
            if behind is None:
                heappop(turns)
            else:
                heapreplace(turns, (start + queue.cost, behind, queue))

    def _leave(self, queue: CallerQueue[T]) -> None:
        if queue and queue.name not in self._held:
            order = self._order
            del order[0 if order[0][2] is queue else bisect_left(order, queue.turn)]

    def _enter(self, queue: CallerQueue[T]) -> None:
        if queue.name not in self._held:
            insort(self._order, queue.turn)

    def _drop(self, queue: CallerQueue[T], number: int) -> None:
        queue.remove(number)
        self.size -= 1
        self.ready -= queue.name not in self._held
        if queue:
            self._enter(queue)
        elif queue.start > self._virtual:
            insort(self._idle, (queue.start, queue.name))
        else:
            del self._queues[queue.name]

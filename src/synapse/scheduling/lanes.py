"""The order in which waiting tasks go."""

from __future__ import annotations

from bisect import insort
from itertools import chain, islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from synapse.scheduling.fair import FairQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from synapse.domain.caller import Band
    from synapse.domain.task import Task
    from synapse.scheduling.queue import CallerQueue


class Waiting(Protocol):
    """What lanes need of an item. It must not change while the item waits."""

    @property
    def task(self) -> Task:
        """Who it is, whose, how urgent, and of which lane."""

    @property
    def tokens(self) -> int:
        """Estimated input tokens."""


T = TypeVar("T", bound=Waiting)


class Lanes(Generic[T]):
    """What waits for each model; lanes know nothing of each other.

    Within a lane the more urgent band goes first, strictly; within a band callers have their turns by start-time fair
    queueing, in proportion to their weights; and what one caller sent goes in the order of its arrival. Callers on hold
    are passed over.
    """

    def __init__(self) -> None:
        """Begin with nobody waiting and nobody on hold."""
        self._lanes: dict[tuple[str, str], list[FairQueue[T]]] = {}
        """The bands of each lane in which something waits, the most urgent first."""
        self._alone: dict[tuple[str, str], T] = {}
        """What is the only one in its lane: most are, for a moment, and need no order."""
        self._places: dict[str, tuple[FairQueue[T], CallerQueue[T], int]] = {}
        """Where each of the others stands, by its task's id."""
        self._held: set[str] = set()
        self._last = 0
        """The number of the last item that came; they grow."""
        self._front = 0
        """The number of the last item that came back; they fall, so that all who come back were there before."""

    def __len__(self) -> int:
        """Count all that waits."""
        return len(self._places) + len(self._alone)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Go through the lanes in which something waits."""
        return chain(self._alone, self._lanes) if self._alone else iter(self._lanes)

    def __contains__(self, lane: tuple[str, str]) -> bool:
        """Tell whether something waits in the lane."""
        return lane in self._lanes or lane in self._alone

    def push(self, item: T, *, first: bool = False, refund: bool = False) -> bool:
        """Put an item at the end of its caller's queue, or in front when it was there before.

        `refund` gives back what its earlier turn charged its caller, unless that is forgotten: the others have had as
        much since, or nobody waited. Returns whether the item goes next in its lane. Raises `ValueError` when it waits
        already.
        """
        lane = item.task.lane
        if lane not in self._lanes:
            other = self._alone.pop(lane, None)
            if other is None:
                self._alone[lane] = item
                return self.first(lane) is item
            self._queue(other)
        self._queue(item, first=first, refund=refund)
        return self.first(lane) is item

    def _queue(self, item: T, *, first: bool = False, refund: bool = False) -> None:
        task = item.task
        if task.id in self._places:
            raise ValueError(f"task {task.id} waits already; take or remove it before it is pushed again")
        if first:
            self._front = number = self._front - 1
        else:
            self._last = number = self._last + 1
        band = self._band(task.lane, task.band)
        queue = band.push(item, number, task.caller, first=first, refund=refund)
        band.tokens += item.tokens
        self._places[task.id] = band, queue, number

    def first(self, lane: tuple[str, str]) -> T | None:
        """Return who goes next; None when nobody waits who is not on hold."""
        alone = self._alone.get(lane)
        if alone is not None:
            return alone if alone.task.caller.name not in self._held else None
        for band in self._lanes.get(lane, ()):
            first = band.first
            if first is not None:
                return first
        return None

    def take(self, item: T) -> None:
        """Let an item have its turn: it leaves its lane and its caller is charged. Mostly it is the first.

        Raises `KeyError` when it does not wait.
        """
        lane = item.task.lane
        if self._alone.get(lane) is item:
            del self._alone[lane]
            return
        band, queue, number = self._places.pop(item.task.id)
        band.take(queue, number)
        self._left(band, item)

    def remove(self, item: T) -> bool:
        """Take an item out wherever it stands, charging nobody; return whether it was there."""
        lane = item.task.lane
        if self._alone.get(lane) is item:
            del self._alone[lane]
            return True
        place = self._places.pop(item.task.id, None)
        if place is None:
            return False
        band, queue, number = place
        band.remove(queue, number)
        self._left(band, item)
        return True

    def position(self, item: T) -> int:
        """Count those of its lane that go before an item if nothing else comes; 0 is next.

        Those on hold are not counted; one who is on hold stands where it would if its caller were freed now. Takes a
        time in proportion to the callers of its band. Raises `KeyError` when it does not wait.
        """
        if self._alone.get(item.task.lane) is item:
            return 0
        band, queue, number = self._places[item.task.id]
        ahead = band.ahead(queue, number)
        for urgent in self._lanes[band.lane]:
            if urgent is band:
                break
            ahead += urgent.ready
            if queue.name in self._held:
                ahead += urgent.count(queue.name)
        return ahead

    def upcoming(self, lane: tuple[str, str], count: int) -> list[T]:
        """Return the next items, up to `count`, in the order in which they go if nothing else comes."""
        if lane in self._alone:
            first = self.first(lane)
            return [first] if first is not None and count else []
        bands = self._lanes.get(lane, ())
        return list(islice(chain.from_iterable(band.upcoming() for band in bands), count))

    def items(self, lane: tuple[str, str]) -> list[T]:
        """Return all that waits in a lane, on hold or not, in no particular order."""
        if lane in self._alone:
            return [self._alone[lane]]
        return list(chain.from_iterable(band.items for band in self._lanes.get(lane, ())))

    def size(self, lane: tuple[str, str]) -> int:
        """Count what waits in a lane."""
        if lane in self._alone:
            return 1
        return sum(band.size for band in self._lanes.get(lane, ()))

    def tokens(self, lane: tuple[str, str]) -> int:
        """Add up the tokens of what waits in a lane."""
        if lane in self._alone:
            return self._alone[lane].tokens
        return sum(band.tokens for band in self._lanes.get(lane, ()))

    def hold(self, caller_name: str) -> None:
        """Pass over a caller in all lanes until it is freed; also what it sends meanwhile."""
        if caller_name not in self._held:
            for band in chain.from_iterable(self._lanes.values()):
                band.hold(caller_name)
            self._held.add(caller_name)

    def free(self, caller_name: str) -> None:
        """Let a caller go again. It has no claim to the turns it could not have."""
        if caller_name in self._held:
            self._held.remove(caller_name)
            for band in chain.from_iterable(self._lanes.values()):
                band.free(caller_name)

    def _band(self, lane: tuple[str, str], band: Band) -> FairQueue[T]:
        bands = self._lanes.get(lane)
        for there in bands or ():
            if there.band is band:
                return there
        new: FairQueue[T] = FairQueue(lane, band, self._held)
        if bands is None:
            self._lanes[lane] = [new]
        else:
            insort(bands, new, key=_rank)
        return new

    def _left(self, band: FairQueue[T], item: T) -> None:
        band.tokens -= item.tokens
        if not band.size:
            bands = self._lanes[band.lane]
            bands.remove(band)
            if not bands:
                del self._lanes[band.lane]


def _rank(queue: FairQueue[T]) -> int:
    return queue.band.rank

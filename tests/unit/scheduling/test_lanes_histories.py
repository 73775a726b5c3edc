"""Lanes behave as a plain reading of their rules does, whatever happens."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synapse.domain.caller import Band, Caller
from synapse.domain.request import prompt_request
from synapse.domain.task import Task
from synapse.scheduling.lanes import Lanes

LANES = [("p", "m"), ("p", "other")]
NAMES = ["ann", "bob", "cat"]
REQUEST = prompt_request("code", "hello")

lane_keys = st.sampled_from([LANES[0], LANES[0], LANES[0], LANES[1]])
bands = st.sampled_from([Band.INTERACTIVE, Band.INTERACTIVE, Band.INTERACTIVE, Band.STANDARD, Band.BATCH])
people = st.builds(Caller, st.sampled_from(NAMES), st.sampled_from([1.0, 1.0, 1.0, 1.0, 3.0, 0.5, 7.0]))
picks = st.integers(0, 10**6)


@dataclasses.dataclass(eq=False)
class Item:
    """What a broker would hold of a task."""

    task: Task
    tokens: int
    number: int = 0
    """Of its arrival, in the naive lanes."""


@dataclasses.dataclass
class NaiveBand:
    """One band of a lane: everything is kept for good, and found by looking through all."""

    queues: dict[str, list[Item]] = dataclasses.field(default_factory=dict)
    tags: dict[str, Fraction] = dataclasses.field(default_factory=dict)
    weights: dict[str, Fraction] = dataclasses.field(default_factory=dict)
    virtual: Fraction = Fraction(0)

    def push(self, item: Item, *, first: bool, refund: bool) -> None:
        """Put an item into its caller's queue."""
        name = item.task.caller.name
        if not any(self.queues.values()):
            self.virtual, self.tags = Fraction(0), {}
        if not self.queues.get(name):
            tag = self.tags.get(name, self.virtual)
            refund = refund and tag > self.virtual
            self.tags[name] = max(self.virtual, tag)
        self.weights[name] = Fraction(item.task.caller.weight).limit_denominator(1000)
        self.tags[name] -= refund / self.weights[name]
        self.queues.setdefault(name, []).insert(0 if first else len(self.queues[name]), item)

    def next(self, held: set[str]) -> Item | None:
        """Return the first item of the caller with the least tag."""
        ready = [name for name, queue in self.queues.items() if queue and name not in held]
        return min((self.queues[name][0] for name in ready), key=self._turn, default=None)

    def _turn(self, item: Item) -> tuple[Fraction, int]:
        return self.tags[item.task.caller.name], item.number

    def take(self, item: Item) -> None:
        """Charge an item's caller."""
        name = item.task.caller.name
        self.virtual = max(self.virtual, self.tags[name])
        self.tags[name] += 1 / self.weights[name]
        self.queues[name].remove(item)

    def copy(self) -> NaiveBand:
        """Return one to try things with."""
        queues = {name: queue.copy() for name, queue in self.queues.items()}
        return NaiveBand(queues, self.tags.copy(), self.weights, self.virtual)

    def order(self, held: set[str]) -> list[Item]:
        """Take all that may go from a copy, one after the other."""
        copied, order = self.copy(), []
        while (item := copied.next(held)) is not None:
            copied.take(item)
            order.append(item)
        return order

    def free(self, name: str) -> None:
        """Have a caller join as one that begins to wait."""
        if self.queues.get(name):
            self.tags[name] = max(self.tags[name], self.virtual)

    def items(self) -> list[Item]:
        """Return all that waits."""
        return [item for queue in self.queues.values() for item in queue]


class LanesLikeTheirRules(RuleBasedStateMachine):
    """What comes, goes, comes back, leaves, is held and freed, in any order."""

    def __init__(self) -> None:
        """Begin with nobody."""
        super().__init__()
        self.lanes: Lanes[Item] = Lanes()
        self.naive = {(lane, band): NaiveBand() for lane in LANES for band in Band}
        self.held: set[str] = set()
        self.taken: list[Item] = []
        self.ids = count()
        self.back, self.front = count(1), count(-1, -1)

    def waiting(self) -> list[Item]:
        """Return all that waits."""
        return [item for band in self.naive.values() for item in band.items()]

    def order(self, lane: tuple[str, str], held: set[str]) -> list[Item]:
        """Return who goes in a lane, in order."""
        return [item for band in Band for item in self.naive[lane, band].order(held)]

    def _push(self, item: Item, *, first: bool, refund: bool) -> None:
        item.number = next(self.front if first else self.back)
        self.naive[item.task.lane, item.task.band].push(item, first=first, refund=refund)

        goes_next = self.lanes.push(item, first=first, refund=refund)

        assert goes_next is (self.order(item.task.lane, self.held)[:1] == [item])

    @initialize(numbers=st.lists(st.integers(0, 6), min_size=len(NAMES), max_size=len(NAMES)))
    def crowd(self, numbers: list[int]) -> None:
        """Begin with a lane for which several compete."""
        for name, number in zip(NAMES, numbers, strict=True):
            self.send(Caller(name), LANES[0], Band.INTERACTIVE, 1, number)

    @rule(caller=people, lane=lane_keys, band=bands, tokens=st.integers(1, 9), number=st.integers(1, 5))
    def send(self, caller: Caller, lane: tuple[str, str], band: Band, tokens: int, number: int) -> None:
        """Have a caller send tasks."""
        for _ in range(number):
            task = Task(f"t{next(self.ids)}", REQUEST, *lane, 0.0, 60.0, 60.0, caller, band)
            self._push(Item(task, tokens), first=False, refund=False)

    @precondition(lambda self: self.taken)
    @rule(pick=picks, first=st.booleans(), refund=st.booleans())
    def come_back(self, pick: int, *, first: bool, refund: bool) -> None:
        """Have a task come back that had its turn."""
        self._push(self.taken.pop(pick % len(self.taken)), first=first, refund=refund)

    @rule(lane=lane_keys, number=st.integers(1, 8))
    def take_first(self, lane: tuple[str, str], number: int) -> None:
        """Let those that go next have their turns."""
        for expected in self.order(lane, self.held)[:number]:
            assert self.lanes.first(lane) is expected
            self._take(expected)

    @precondition(lambda self: self.waiting())
    @rule(pick=picks)
    def take_any(self, pick: int) -> None:
        """Let somebody have a turn, on hold or not."""
        items = self.waiting()
        self._take(items[pick % len(items)])

    def _take(self, item: Item) -> None:
        self.naive[item.task.lane, item.task.band].take(item)
        self.lanes.take(item)
        self.taken.append(item)

    @precondition(lambda self: self.waiting())
    @rule(pick=picks, number=st.integers(1, 4))
    def leave(self, pick: int, number: int) -> None:
        """Remove some, and what is gone a second time."""
        for item in (self.waiting() * 2)[pick % len(self.waiting()) :][:number]:
            queue = self.naive[item.task.lane, item.task.band].queues[item.task.caller.name]
            there = item in queue
            assert self.lanes.remove(item) is there
            assert not self.lanes.remove(item)
            if there:
                queue.remove(item)

    @rule(name=st.sampled_from(NAMES))
    def hold(self, name: str) -> None:
        """Pass over a caller."""
        self.held.add(name)
        self.lanes.hold(name)

    @rule(name=st.sampled_from(NAMES))
    def free(self, name: str) -> None:
        """Let a caller go again."""
        if name in self.held:
            self.held.remove(name)
            for band in self.naive.values():
                band.free(name)
        self.lanes.free(name)

    @invariant()
    def who_goes_when_agrees(self) -> None:
        """First, all upcoming, and everybody's position."""
        for lane in LANES:
            order = self.order(lane, self.held)
            assert self.lanes.first(lane) is (order[0] if order else None)
            assert self.lanes.upcoming(lane, len(order) + 1) == order
            assert self.lanes.upcoming(lane, 3) == order[:3]
            assert [self.lanes.position(item) for item in order] == list(range(len(order)))

    @invariant()
    def who_is_on_hold_stands_where_it_would_if_freed(self) -> None:
        """As in a copy in which it is."""
        for name in self.held:
            for lane in LANES:
                order = []
                for band in Band:
                    freed = self.naive[lane, band].copy()
                    freed.free(name)
                    order += freed.order(self.held - {name})
                for position, item in enumerate(order):
                    if item.task.caller.name == name:
                        assert self.lanes.position(item) == position

    @invariant()
    def what_waits_agrees(self) -> None:
        """Items, sizes, tokens."""
        assert len(self.lanes) == len(self.waiting())
        for lane in LANES:
            items = [item for band in Band for item in self.naive[lane, band].items()]
            assert sorted(self.lanes.items(lane), key=id) == sorted(items, key=id)
            assert self.lanes.size(lane) == len(items)
            assert self.lanes.tokens(lane) == sum(item.tokens for item in items)
            assert (lane in self.lanes) is (lane in set(self.lanes)) is bool(items)

    @invariant()
    def only_what_matters_is_kept(self) -> None:
        """Of callers that do not wait: those whose tags are ahead of virtual time."""
        for lane, fair_queues in self.lanes._lanes.items():
            assert [queue.band for queue in fair_queues] == [band for band in Band if self.naive[lane, band].items()]
            for fair in fair_queues:
                naive = self.naive[lane, fair.band]
                busy = {name for name, queue in naive.queues.items() if queue}
                ahead = {name for name, tag in naive.tags.items() if tag > naive.virtual}
                assert set(fair._queues) == busy | ahead
                assert {name for _, name in fair._idle} == ahead - busy
                assert {queue.name for _, _, queue in fair._order} == busy - self.held

    def teardown(self) -> None:
        """Remove everything, and find nothing kept."""
        for item in self.waiting():
            assert self.lanes.remove(item)
        for name in self.held:
            self.lanes.free(name)
        assert not self.lanes._lanes
        assert not self.lanes._alone
        assert not self.lanes._places
        assert not self.lanes._held
        assert len(self.lanes) == 0


TestLanesLikeTheirRules = LanesLikeTheirRules.TestCase
TestLanesLikeTheirRules.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)

"""The order within lanes."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from synapse.scheduling.lanes import Lanes

NAMES = st.sampled_from(["a", "b"])
KEYS = st.integers(0, 9).map(str)


def test_lanes_are_first_in_first_out() -> None:
    """What was pushed first is popped first, in each lane for itself."""
    lanes: Lanes[int] = Lanes()
    for number in range(4):
        lanes.push("even" if number % 2 == 0 else "odd", str(number), number)

    assert [lanes.pop("odd"), lanes.pop("even"), lanes.pop("even"), lanes.pop("odd")] == [1, 0, 2, 3]
    assert list(lanes) == []


def test_what_comes_back_goes_to_the_front() -> None:
    """Pushed as first, an item is the next to go."""
    lanes: Lanes[int] = Lanes()
    lanes.push("a", "1", 1)
    lanes.push("a", "2", 2, first=True)

    assert lanes.peek("a") == 2
    assert lanes.items("a") == [2, 1]


def test_an_item_leaves_from_wherever_it_stands() -> None:
    """Removing says whether it was there."""
    lanes: Lanes[int] = Lanes()
    for number in range(3):
        lanes.push("a", str(number), number)

    assert lanes.remove("a", "1")
    assert not lanes.remove("a", "1")
    assert not lanes.remove("nowhere", "1")
    assert lanes.items("a") == [0, 2]
    assert lanes.items("nowhere") == []


class LanesLikeLists(RuleBasedStateMachine):
    """Lanes behave as a list for each name would."""

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.lanes: Lanes[str] = Lanes()
        self.model: dict[str, list[str]] = {"a": [], "b": []}

    @rule(lane=NAMES, key=KEYS, first=st.booleans())
    def push(self, lane: str, key: str, *, first: bool) -> None:
        """Push what is not there yet."""
        if key not in self.model[lane]:
            self.lanes.push(lane, key, key, first=first)
            self.model[lane].insert(0 if first else len(self.model[lane]), key)

    @precondition(lambda self: any(self.model.values()))
    @rule(lane=NAMES)
    def pop(self, lane: str) -> None:
        """Pop from a lane in which something waits."""
        if self.model[lane]:
            assert self.lanes.pop(lane) == self.model[lane].pop(0)

    @rule(lane=NAMES, key=KEYS)
    def remove(self, lane: str, key: str) -> None:
        """Remove what may be there."""
        there = key in self.model[lane]
        assert self.lanes.remove(lane, key) is there
        if there:
            self.model[lane].remove(key)

    @invariant()
    def both_hold_the_same(self) -> None:
        """Order, names and size agree."""
        busy = {lane for lane, keys in self.model.items() if keys}
        assert set(self.lanes) == busy
        assert len(self.lanes) == sum(map(len, self.model.values()))
        for lane, keys in self.model.items():
            assert self.lanes.items(lane) == keys
            assert (lane in self.lanes) is (lane in busy)


TestLanesLikeLists = LanesLikeLists.TestCase

"""How a worker's slots are shared among lanes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from synapse.scheduling.lanes import Slots

STEPS = st.lists(st.tuples(st.sampled_from(["start", "end"]), st.integers(0, 5)), max_size=80)


def test_with_slots_to_spare_every_lane_may_start() -> None:
    """The one that runs least goes first."""
    slots = Slots(4)
    slots.take("a")
    slots.take("a")
    slots.take("b")

    assert slots.order(["a", "b", "c"]) == ["c", "b", "a"]


def test_a_lane_alone_may_have_all_slots_and_no_more() -> None:
    """Sharing begins when there is somebody to share with."""
    slots = Slots(3)
    for _ in range(3):
        assert slots.order(["a"]) == ["a"]
        slots.take("a")

    assert slots.order(["a"]) == []
    slots.give_back("a")
    assert slots.order(["a"]) == ["a"]


def test_nobody_waits_nobody_starts() -> None:
    """Without a waiting lane there is no order, full or not."""
    slots = Slots(1)
    assert slots.order([]) == []
    slots.take("a")
    assert slots.order([]) == []


def test_more_lanes_than_slots_run_one_each() -> None:
    """The share of a lane is never less than one."""
    slots = Slots(2)
    for lane in "abc":
        slots.take(lane)

    assert slots.order(["a", "b", "c", "d"]) == ["d"]


def play(total: int, steps: list[tuple[str, int]]) -> tuple[Slots, Counter[str]]:
    """Start tasks where the slots admit it and end them, over six lanes that always have some waiting."""
    slots, running = Slots(total), Counter[str]()
    for what, number in steps:
        lane = f"lane-{number}"
        if what == "start" and lane in slots.order([f"lane-{other}" for other in range(6)]):
            slots.take(lane)
            running[lane] += 1
        elif what == "end" and running[lane]:
            slots.give_back(lane)
            running[lane] -= 1
    return slots, +running


@given(st.integers(1, 12), STEPS, st.sets(st.integers(0, 5), min_size=1))
def test_a_lane_below_its_share_may_always_start(total: int, steps: list[tuple[str, int]], waiting: set[int]) -> None:
    """Whatever the others hold, a lane gets its equal part of the slots: none is ever starved."""
    slots, running = play(total, steps)
    lanes = [f"lane-{number}" for number in sorted(waiting)]

    admitted = slots.order(lanes)

    share = max(1, total // len(running.keys() | set(lanes)))
    assert {lane for lane in lanes if running[lane] < share} <= set(admitted)
    if slots.taken < total:
        assert set(admitted) == set(lanes)
    else:
        assert all(running[lane] < share for lane in admitted)


@given(st.integers(1, 12), STEPS)
def test_the_one_that_runs_least_goes_first(total: int, steps: list[tuple[str, int]]) -> None:
    """The admitted lanes are in the order of what they run."""
    slots, running = play(total, steps)

    counts = [running[lane] for lane in slots.order([f"lane-{number}" for number in range(6)])]

    assert counts == sorted(counts)


@given(st.integers(1, 12), STEPS)
def test_what_runs_beyond_the_total_is_bounded(total: int, steps: list[tuple[str, int]]) -> None:
    """Shares let more run than `total` for a while, but each lane's alone never more than `total`."""
    slots, running = play(total, steps)

    assert slots.taken == sum(running.values())
    assert all(count <= total for count in running.values())


@given(st.integers(1, 12), STEPS)
def test_slots_given_back_are_free(total: int, steps: list[tuple[str, int]]) -> None:
    """When all has ended the slots are as at the beginning."""
    slots, running = play(total, steps)
    for lane in running.elements():
        slots.give_back(lane)

    assert slots.taken == 0
    assert slots.order(["a", "b"]) == ["a", "b"]

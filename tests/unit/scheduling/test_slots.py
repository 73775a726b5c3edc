"""How a worker's slots are shared among lanes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.caller import Band
from synapse.domain.request import prompt_request
from synapse.domain.task import Task
from synapse.scheduling.slots import Slots

LANES = [("p", f"model-{number}") for number in range(6)]
A, B, C, D = LANES[:4]
STEPS = st.lists(st.tuples(st.sampled_from(["start", "end"]), st.integers(0, 5), st.sampled_from(Band)), max_size=80)
Steps = list[tuple[str, int, Band]]


def task(lane: tuple[str, str], band: Band = Band.INTERACTIVE) -> Task:
    """Return a task of a lane."""
    return Task("t", prompt_request("code", "hello"), *lane, created_at=0.0, max_wait=60.0, timeout=60.0, band=band)


def test_with_slots_to_spare_every_lane_may_start() -> None:
    """The one that runs least goes first."""
    slots = Slots(4)
    for lane in (A, A, B):
        slots.take(task(lane))

    assert slots.order([A, B, C]) == [C, B, A]


def test_a_lane_alone_may_have_all_slots_and_no_more() -> None:
    """Sharing begins when there is somebody to share with."""
    slots = Slots(3)
    for _ in range(3):
        assert slots.order([A]) == [A]
        slots.take(task(A))

    assert slots.order([A]) == []
    slots.give_back(task(A))
    assert slots.order([A]) == [A]


def test_nobody_waits_nobody_starts() -> None:
    """Without a waiting lane there is no order, full or not."""
    slots = Slots(1)
    assert slots.order([]) == []
    slots.take(task(A))
    assert slots.order([]) == []


def test_more_lanes_than_slots_run_one_each() -> None:
    """The share of a lane is never less than one."""
    slots = Slots(2)
    for lane in (A, B, C):
        slots.take(task(lane))

    assert slots.order([A, B, C, D]) == [D]


def test_a_lane_that_has_ended_has_no_share() -> None:
    """The others share what there is, as if it had never run."""
    slots = Slots(4)
    slots.take(task(B))
    slots.give_back(task(B))
    for lane in (A, A, A, A, C):
        slots.take(task(lane))

    assert slots.order([C]) == [C]


def test_models_of_the_same_name_are_different_lanes_at_different_providers() -> None:
    """One runs, the other is the one to start."""
    slots = Slots(4)
    slots.take(task(("here", "m")))

    assert slots.order([("here", "m"), ("there", "m")]) == [("there", "m"), ("here", "m")]


def play(total: int, steps: Steps) -> tuple[Slots, Counter[tuple[tuple[str, str], Band]]]:
    """Start tasks where the slots admit it and end them, over six lanes that always have some waiting."""
    slots, running = Slots(total), Counter[tuple[tuple[str, str], Band]]()
    for what, number, band in steps:
        lane = LANES[number]
        if what == "start" and lane in slots.order(LANES):
            slots.take(task(lane, band))
            running[lane, band] += 1
        elif what == "end" and running[lane, band]:
            slots.give_back(task(lane, band))
            running[lane, band] -= 1
    return slots, +running


def by_lane(running: Counter[tuple[tuple[str, str], Band]]) -> Counter[tuple[str, str]]:
    """Count what runs of each lane."""
    return Counter(lane for lane, _ in running.elements())


@given(st.integers(1, 12), STEPS, st.sets(st.integers(0, 5), min_size=1))
def test_a_lane_below_its_share_may_always_start(total: int, steps: Steps, waiting: set[int]) -> None:
    """Whatever the others hold, a lane gets its equal part of the slots: none is ever starved."""
    slots, started = play(total, steps)
    running, lanes = by_lane(started), [LANES[number] for number in sorted(waiting)]

    admitted = slots.order(lanes)

    share = max(1, total // len(running.keys() | set(lanes)))
    assert {lane for lane in lanes if running[lane] < share} <= set(admitted)
    if slots.taken < total:
        assert set(admitted) == set(lanes)
    else:
        assert all(running[lane] < share for lane in admitted)


@given(st.integers(1, 12), STEPS)
def test_the_one_that_runs_least_goes_first(total: int, steps: Steps) -> None:
    """The admitted lanes are in the order of what they run."""
    slots, started = play(total, steps)
    running = by_lane(started)

    counts = [running[lane] for lane in slots.order(LANES)]

    assert counts == sorted(counts)


@given(st.integers(1, 12), STEPS)
def test_what_runs_is_counted_and_bounded(total: int, steps: Steps) -> None:
    """All of it, and what is of the batch band; shares let more run than `total`, but never of one lane."""
    slots, running = play(total, steps)

    assert slots.taken == running.total()
    assert slots.batch == sum(count for (_, band), count in running.items() if band is Band.BATCH)
    assert all(count <= total for count in by_lane(running).values())


@given(st.integers(1, 12), STEPS)
def test_slots_given_back_are_free(total: int, steps: Steps) -> None:
    """When all has ended the slots are as at the beginning."""
    slots, running = play(total, steps)
    for lane, band in running.elements():
        slots.give_back(task(lane, band))

    assert (slots.taken, slots.batch) == (0, 0)
    assert slots.order([A, B]) == [A, B]
    assert vars(slots) == vars(Slots(total))

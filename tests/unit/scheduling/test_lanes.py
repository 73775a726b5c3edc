"""Who goes next, and who stands where."""

from __future__ import annotations

import dataclasses
import gc
import time
import tracemalloc
import weakref
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synapse.domain.caller import ANONYMOUS, Band, Caller
from synapse.domain.request import prompt_request
from synapse.domain.task import Task
from synapse.scheduling.lanes import Lanes

if TYPE_CHECKING:
    from collections.abc import Iterable

LANE = ("p", "m")
REQUEST = prompt_request("code", "hello")
ANN, BOB, EVE = Caller("ann"), Caller("bob"), Caller("eve", weight=3.0)
_numbers = count()


@dataclasses.dataclass(eq=False, weakref_slot=True, slots=True)
class Item:
    """What a broker would hold of a task."""

    task: Task
    tokens: int = 1


def item(
    caller: Caller = ANONYMOUS, band: Band = Band.INTERACTIVE, lane: tuple[str, str] = LANE, *, tokens: int = 1
) -> Item:
    """Return an item with an id of its own."""
    return Item(Task(f"t{next(_numbers)}", REQUEST, *lane, 0.0, 60.0, 60.0, caller, band), tokens)


def waiting(*items: Item) -> Lanes[Item]:
    """Return lanes in which items wait."""
    lanes: Lanes[Item] = Lanes()
    for each in items:
        lanes.push(each)
    return lanes


def several(number: int, caller: Caller, band: Band = Band.INTERACTIVE) -> list[Item]:
    """Return items of one caller."""
    return [item(caller, band) for _ in range(number)]


def turn(lanes: Lanes[Item]) -> Item:
    """Take who goes next."""
    first = lanes.first(LANE)
    assert first is not None
    lanes.take(first)
    return first


def callers(items: Iterable[Item]) -> str:
    """Return whose items are, by initials."""
    return "".join(each.task.caller.name[0] for each in items)


# --- the order


def test_one_caller_is_served_in_the_order_of_arrival() -> None:
    """First in, first out, in each lane for itself."""
    one, two = several(2, ANONYMOUS)
    elsewhere = item(lane=("p", "other"))
    lanes = waiting(one, elsewhere, two)

    assert [turn(lanes), turn(lanes)] == [one, two]
    assert lanes.first(LANE) is None
    assert list(lanes) == [("p", "other")]


def test_the_more_urgent_band_goes_first() -> None:
    """Strictly: whoever sent it, and whenever it came."""
    batch, standard, interactive = (item(band=band) for band in reversed(Band))
    lanes = waiting(batch, standard, interactive)

    assert lanes.upcoming(LANE, 9) == [interactive, standard, batch]
    assert [lanes.position(each) for each in (interactive, standard, batch)] == [0, 1, 2]


def test_who_comes_later_alternates_with_a_flood() -> None:
    """From its first task on, and until its last."""
    lanes = waiting(*several(1000, ANN))
    for _ in range(5):
        turn(lanes)
    later = several(20, BOB)
    for each in later:
        lanes.push(each)

    assert [lanes.position(each) for each in later] == list(range(0, 40, 2))
    assert callers(turn(lanes) for _ in range(50)) == "ba" * 20 + "a" * 10


def test_turns_are_in_proportion_to_weights() -> None:
    """Three to one, in each group of four."""
    lanes = waiting(*several(100, ANN), *several(300, EVE))

    turns = [callers(turn(lanes) for _ in range(4)) for _ in range(100)]

    assert all(Counter(four) == {"a": 1, "e": 3} for four in turns)


def test_who_has_waited_for_nothing_has_saved_up_nothing() -> None:
    """A caller that comes back after a while shares from then on; the turns it left to others are theirs."""
    lanes = waiting(item(ANN), *several(20, BOB))
    for _ in range(10):
        turn(lanes)
    for each in several(5, ANN):
        lanes.push(each)

    assert callers(lanes.upcoming(LANE, 10)) == "ababababab"


def test_who_comes_back_at_once_cannot_jump_the_queue() -> None:
    """A caller with one task at a time has no more turns than one with a thousand."""
    lanes = waiting(item(ANN), *several(20, BOB))

    served = []
    for _ in range(20):
        served.append(turn(lanes))
        if served[-1].task.caller is ANN:
            lanes.push(item(ANN))

    assert callers(served) == "ab" + "ba" * 9


def test_a_weight_that_changes_counts_from_then_on() -> None:
    """The configuration of a caller may change while it waits."""
    lanes = waiting(*several(30, ANN), *several(30, BOB))
    lanes.push(item(Caller("ann", weight=2.0)))

    assert Counter(callers(lanes.upcoming(LANE, 30))) == {"a": 20, "b": 10}


@pytest.mark.parametrize("weight", [1e-9, 1e-3, 0.3, 7.0, 1e6, 1e300])
def test_any_weight_is_a_weight(weight: float) -> None:
    """From the smallest to the greatest: the heavier goes more often, and nobody is passed over for good."""
    lanes = waiting(*several(3, Caller("other", weight=weight)), *several(3, ANN))

    order = callers(turn(lanes) for _ in range(6))

    assert order == ("oaaaoo" if weight < 1 else "oaooaa")


# --- coming back, leaving


def test_what_comes_back_goes_before_what_its_caller_sent_later() -> None:
    """And those who come back last go first."""
    one, two, three = several(3, ANN)
    lanes = waiting(three)
    lanes.push(two, first=True)
    lanes.push(one, first=True)

    assert lanes.upcoming(LANE, 9) == [one, two, three]


def test_a_turn_that_was_none_is_given_back() -> None:
    """With a refund it is the caller's turn again; without one it was."""
    for refund, expected in ((True, "ababa"), (False, "babaa")):
        lanes = waiting(*several(2, ANN), *several(2, BOB))
        first = turn(lanes)
        lanes.push(first, first=True, refund=refund)
        lanes.push(item(ANN))

        assert callers(lanes.upcoming(LANE, 5)) == expected


def test_a_refund_finds_a_caller_that_has_nothing_else_waiting() -> None:
    """It goes next, as it did before, and has its later turns as if nothing had been."""
    lanes = waiting(item(ANN), *several(3, BOB))
    first = turn(lanes)
    turn(lanes)

    assert lanes.push(first, first=True, refund=True)
    assert turn(lanes) is first
    lanes.push(item(ANN))
    assert callers(lanes.upcoming(LANE, 9)) == "bab"


def test_what_is_forgotten_is_not_given_back() -> None:
    """A turn is forgotten when the others have had as many since, or when the lane was empty since."""
    for others in (several(9, BOB), []):
        lanes = waiting(first := item(ANN), *others)
        for _ in range(min(3, len(lanes))):
            turn(lanes)
        lanes.push(first, first=True, refund=True)
        for each in (item(ANN), item(Caller("cat"))):
            lanes.push(each)

        assert [each.task.caller.name for each in lanes.upcoming(LANE, 9) if each not in others] == [
            "ann",
            "cat",
            "ann",
        ]


def test_a_refund_does_not_turn_back_time() -> None:
    """Who comes after turns that were repeated shares from then on, and not from before."""
    mine = several(3, ANN)
    lanes = waiting(*mine, *several(9, BOB))
    for _ in range(5):
        turn(lanes)
    for each in mine[1:]:
        lanes.push(each, first=True, refund=True)
    turn(lanes)
    for each in several(3, Caller("cat")):
        lanes.push(each)

    assert callers(lanes.upcoming(LANE, 6)) == "abcbcb"


def test_pushing_tells_whether_the_item_goes_next() -> None:
    """In its lane: there may be a more urgent band, another caller, an earlier item, or a hold."""
    lanes: Lanes[Item] = Lanes()
    assert lanes.push(item(ANN, Band.STANDARD))
    assert not lanes.push(item(ANN, Band.STANDARD))
    assert not lanes.push(item(BOB, Band.STANDARD))
    assert not lanes.push(item(BOB, Band.BATCH))
    assert lanes.push(item(BOB))
    assert not lanes.push(item(ANN))
    assert lanes.push(item(BOB), first=True)
    assert lanes.push(item(BOB, lane=("p", "other")))
    lanes.hold("eve")
    assert not lanes.push(item(EVE, lane=("p", "third")))


def test_an_item_leaves_from_wherever_it_stands() -> None:
    """Removing says whether it was there, and costs its caller nothing."""
    mine, his = several(3, ANN), several(3, BOB)
    lanes = waiting(*mine, *his)

    assert lanes.remove(mine[1])
    assert not lanes.remove(mine[1])
    assert not lanes.remove(item(lane=("no", "where")))
    assert lanes.upcoming(LANE, 9) == [mine[0], his[0], mine[2], his[1], his[2]]
    assert lanes.remove(mine[0])
    assert lanes.upcoming(LANE, 9) == [mine[2], his[0], his[1], his[2]]


def test_any_item_may_have_its_turn() -> None:
    """Its caller is charged as for the first."""
    mine, his = several(3, ANN), several(3, BOB)
    lanes = waiting(*mine, *his)

    lanes.take(mine[2])

    assert lanes.upcoming(LANE, 9) == [his[0], mine[0], his[1], mine[1], his[2]]


def test_what_does_not_wait_has_neither_turn_nor_position() -> None:
    """And what waits cannot be pushed again."""
    there, gone = item(), item()
    lanes = waiting(there, gone)
    lanes.take(gone)

    with pytest.raises(KeyError):
        lanes.take(gone)
    with pytest.raises(KeyError):
        lanes.position(gone)
    with pytest.raises(ValueError, match=f"{there.task.id} waits already"):
        lanes.push(there)
    assert len(lanes) == 1


# --- holds


def test_a_caller_on_hold_is_passed_over_until_it_is_freed() -> None:
    """Also with what it sends meanwhile; it still counts among those that wait."""
    mine, his = several(2, ANN), several(2, BOB)
    lanes = waiting(*mine, *his)
    lanes.hold("ann")
    lanes.push(item(ANN))

    assert lanes.upcoming(LANE, 9) == his
    assert lanes.size(LANE) == 5
    turn(lanes)
    turn(lanes)
    assert lanes.first(LANE) is None
    assert LANE in lanes
    lanes.free("ann")
    assert lanes.first(LANE) is mine[0]


def test_who_was_on_hold_has_no_claim_to_the_turns_it_could_not_have() -> None:
    """It shares from the moment it is freed, and does not catch up."""
    lanes = waiting(*several(40, BOB), *several(20, ANN))
    lanes.hold("ann")
    for _ in range(20):
        turn(lanes)
    lanes.free("ann")

    assert callers(lanes.upcoming(LANE, 10)) == "ababababab"


def test_a_hold_lets_less_urgent_bands_go() -> None:
    """Until somebody more urgent is free to go."""
    urgent, batch = item(ANN), item(BOB, Band.BATCH)
    lanes = waiting(urgent, batch)
    lanes.hold("ann")

    assert lanes.first(LANE) is batch
    assert lanes.position(batch) == 0
    lanes.free("ann")
    assert lanes.position(batch) == 1


def test_who_is_on_hold_stands_where_it_would_if_it_were_freed() -> None:
    """Others on hold are not counted."""
    mine, his, hers = several(2, ANN), several(20, BOB), several(2, Caller("cat"))
    lanes = waiting(*his, *mine, *hers)
    lanes.hold("ann")
    lanes.hold("cat")
    for _ in range(10):
        turn(lanes)

    assert [lanes.position(each) for each in mine] == [0, 2]


def test_holding_and_freeing_twice_is_as_once() -> None:
    """Neither counts; and freeing who is not on hold is nothing."""
    lanes = waiting(*several(2, ANN))
    lanes.free("ann")
    lanes.hold("ann")
    lanes.hold("ann")
    assert lanes.first(LANE) is None
    lanes.free("ann")
    lanes.free("ann")

    assert callers(turn(lanes) for _ in range(2)) == "aa"


# --- counts


def test_lanes_know_how_much_waits_in_each() -> None:
    """Items, tokens and sizes, over all bands."""
    small, large = item(tokens=5), item(band=Band.BATCH, tokens=700)
    elsewhere = item(lane=("p", "other"), tokens=2)
    lanes = waiting(small, large, elsewhere)

    assert (len(lanes), lanes.size(LANE), lanes.tokens(LANE)) == (3, 2, 705)
    assert set(map(id, lanes.items(LANE))) == {id(small), id(large)}
    assert (lanes.size(("no", "where")), lanes.tokens(("no", "where")), lanes.items(("no", "where"))) == (0, 0, [])
    assert (lanes.first(("no", "where")), lanes.upcoming(("no", "where"), 3)) == (None, [])
    assert lanes.upcoming(LANE, 1) == [small]
    lanes.take(small)
    lanes.remove(large)
    assert (len(lanes), lanes.size(LANE), lanes.tokens(LANE), list(lanes)) == (1, 0, 0, [("p", "other")])


# --- fairness, as it is proven of start-time fair queueing

WEIGHTS = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 7.0])


@given(st.lists(WEIGHTS, min_size=2, max_size=5), st.integers(0, 30), st.integers(1, 60))
def test_what_two_backlogged_callers_get_differs_by_no_more_than_one_turn_each(
    weights: list[float], begin: int, length: int
) -> None:
    """Over any stretch of time, each in proportion to its weight."""
    everybody = [Caller(f"c{number}", weight=weight) for number, weight in enumerate(weights)]
    lanes = waiting(*(each for caller in everybody for each in several(100, caller)))
    for _ in range(begin):
        turn(lanes)

    got = Counter(turn(lanes).task.caller for _ in range(length))

    for one in everybody:
        for other in everybody:
            apart = abs(got[one] / one.weight - got[other] / other.weight)
            assert apart <= 1 / one.weight + 1 / other.weight + 1e-9


@given(st.lists(WEIGHTS, min_size=1, max_size=4), WEIGHTS, st.integers(0, 30), st.integers(1, 8))
def test_nobody_starves_within_a_band(weights: list[float], weight: float, before: int, sent: int) -> None:
    """However much the others go on sending, each item goes within what weights allow."""
    flood, victim = [Caller(f"c{n}", weight=weight) for n, weight in enumerate(weights)], Caller("victim", weight)
    lanes = waiting(*(each for caller in flood for each in several(2, caller)))
    for _ in range(before):
        lanes.push(item(turn(lanes).task.caller))
    last = [item(victim) for _ in range(sent)][-1]
    for _ in range(sent - 1):
        lanes.push(item(victim))
    lanes.push(last)

    waited = 0
    while (gone := turn(lanes)) is not last:
        waited += 1
        lanes.push(item(gone.task.caller))  # the victim too: nothing behind the last delays it

    assert waited <= sent - 1 + sum((sent - 1) / weight * each.weight + 2 for each in flood)


# --- what is kept, and what it costs


def test_nothing_is_kept_of_callers_that_come_and_go() -> None:
    """While somebody waits all the time, and even while nobody's turn comes."""
    lanes = waiting(*several(3000, BOB))
    band = lanes._lanes[LANE][0]
    for number in range(1000):
        passer = item(Caller(f"passer-{number}"))
        lanes.push(passer)
        lanes.take(passer)
        turn(lanes)
        assert len(band._queues) <= 3
    lanes.hold("bob")
    for _ in range(100):
        again = item(ANN)
        lanes.push(again)
        lanes.take(again)
        lanes.push(again, first=True, refund=True)
        lanes.remove(again)
    assert len(band._queues) + len(band._order) + len(band._idle) <= 5


def test_nothing_is_kept_of_turns_that_are_over() -> None:
    """While the same caller always has some more waiting."""
    lanes = waiting(*several(3, ANN))
    queue = lanes._lanes[LANE][0]._queues["ann"]
    for _ in range(1000):
        lanes.push(item(ANN))
        turn(lanes)

    assert len(queue._numbers) < 100


def test_what_has_left_is_not_kept() -> None:
    """Neither taken nor removed items, while others of the same caller wait on."""
    lanes, items = Lanes[Item](), several(100, ANN)
    for each in items:
        lanes.push(each)
    references = [weakref.ref(each) for each in items]
    for each in items[:20]:
        lanes.take(each)
    for each in items[50:70]:
        lanes.remove(each)
    del items, each
    gc.collect()

    assert sum(reference() is not None for reference in references) == 60 == len(lanes)


def test_an_empty_lane_is_as_if_it_had_never_been() -> None:
    """Nothing is left, and nobody has to pay for turns of then."""
    lanes = waiting(*several(5, ANN), item(BOB, Band.BATCH))
    for _ in range(6):
        turn(lanes)

    assert (lanes._lanes, lanes._places) == ({}, {})
    for each in (item(ANN), item(BOB)):
        lanes.push(each)
    assert callers(lanes.upcoming(LANE, 2)) == "ab"


def test_what_leaves_leaves_no_garbage_behind() -> None:
    """No reference goes round in a circle, which only the collector would find."""
    gc.collect()
    gc.disable()
    try:
        lanes = waiting(*several(3, ANN), *several(3, BOB))
        lanes.hold("bob")
        for _ in range(3):
            turn(lanes)
        lanes.free("bob")
        lanes.remove(turn(lanes))
        turn(lanes)
        turn(lanes)
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("everybody", [1, 1000])
def test_each_that_waits_costs_a_few_hundred_bytes(everybody: int) -> None:
    """Beyond the item itself, with one caller as with a thousand, of whom each has two in each lane and band."""
    names = [Caller(f"c{number}") for number in range(everybody)]
    items = [item(names[n % everybody], lane=("p", f"m{n // (2 * everybody) % 10}")) for n in range(20_000)]
    lanes: Lanes[Item] = Lanes()

    tracemalloc.start()
    try:
        for each in items:
            lanes.push(each)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert kept / len(items) < 600


def test_a_deep_lane_is_no_slower() -> None:
    """With 100,000 waiting each operation takes microseconds, where going through them takes milliseconds."""
    items = several(100_000, ANN) + several(100, BOB)
    lanes = waiting(*items)

    begun = time.perf_counter()
    for number in range(200):
        lanes.position(items[500 * number])
        lanes.first(LANE)
        lanes.upcoming(LANE, 5)
        lanes.remove(items[100 + 400 * number])
        lanes.push(items[100 + 400 * number], first=number % 2 == 0)
        turn(lanes)
        lanes.hold("ann")
        lanes.free("ann")

    assert time.perf_counter() - begun < 0.4

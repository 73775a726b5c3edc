"""Pairs of waiting tasks and permits."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import count
from zoneinfo import ZoneInfo

import pytest

from synapse.domain.caller import ANONYMOUS, Band, Caller
from synapse.domain.credential import Credential
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Quota
from synapse.domain.request import prompt_request
from synapse.domain.task import Task
from synapse.domain.usage import Usage
from synapse.scheduling.account import NEVER, SPAN
from synapse.scheduling.ledger import Ledger, Permit, Terms
from synapse.scheduling.scheduler import Scheduler
from synapse.scheduling.slots import Slots
from synapse.scheduling.slow_start import ANSWER

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC).timestamp()
REQUEST = prompt_request("code", "hello")
URGENT, BATCH = Band.INTERACTIVE, Band.BATCH
PLENTY = Quota(rpm=10_000)
_ids = count()


@dataclasses.dataclass(eq=False)
class Item:
    """What a broker would hold of a task."""

    task: Task
    tokens: int


def item(
    model: str = "m", tokens: int = 1, band: Band = URGENT, caller: Caller = ANONYMOUS, provider: str = "p"
) -> Item:
    """Return a waiting task."""
    return Item(Task(f"t{next(_ids)}", REQUEST, provider, model, NOW, 60.0, 60.0, caller, band), tokens)


class Desk:
    """A scheduler, and the slots of a worker."""

    def __init__(
        self, quota: Quota = PLENTY, *, quotas: Mapping[str, Quota] | None = None, slots: int = 100, shared: str = ""
    ) -> None:
        """Have one key each of the providers `p` and `q`."""
        self.ledgers = {
            name: Ledger(
                Terms(name, ZoneInfo("UTC"), ("KEYS",), quotas or {}, quota, shared),
                [Credential("x", f"key-of-provider-{name}")],
            )
            for name in ("p", "q")
        }
        self.scheduler: Scheduler[Item] = Scheduler(self.ledgers)
        self.slots = Slots(slots)
        self.permits: dict[str, Permit] = {}

    def add(self, *items: Item) -> None:
        """Let some wait."""
        for each in items:
            self.scheduler.add(each)

    def next(self, now: float = NOW) -> Item | None:
        """Start one."""
        turn = self.scheduler.next(self.slots, now)
        if turn is None:
            return None
        started, permit = turn
        self.slots.take(started.task)
        self.permits[started.task.id] = permit
        return started

    def all(self, now: float = NOW) -> list[Item]:
        """Start as many as may be."""
        started = []
        while (each := self.next(now)) is not None:
            started.append(each)
        return started

    def wake(self, now: float) -> list[Item]:
        """Start those whose windows have opened."""
        self.scheduler.wake_due(now)
        return self.all(now)

    def end(self, started: Item, now: float = NOW, *, failure: Failure | None = None, seconds: float = 1.0) -> None:
        """Settle one, as a broker does."""
        task, usage = started.task, Usage() if failure is None else None
        self.ledgers[task.provider].settle(self.permits.pop(task.id), now, usage=usage, failure=failure)
        self.scheduler.ended(task, seconds=seconds if failure is None else None)
        self.slots.give_back(task)


# --- whose turn it is


def test_who_waits_goes_when_there_is_a_permit_and_a_slot() -> None:
    """It leaves its lane then, with the permit."""
    desk = Desk()
    waiting = item()
    desk.add(waiting)

    assert desk.next() is waiting
    assert desk.permits[waiting.task.id].model == "m"
    assert len(desk.scheduler.lanes) == 0
    assert desk.next() is None


def test_without_a_slot_nobody_goes_and_no_permit_is_used() -> None:
    """The window is as it was."""
    desk = Desk(Quota(rpm=5), slots=1)
    desk.add(item(), item())

    assert len(desk.all()) == 1
    (account,) = desk.ledgers["p"].accounts()
    assert account.requests == 1


def test_without_a_permit_a_lane_sleeps_until_there_is_one() -> None:
    """The others go on meanwhile; when it wakes, its next one goes."""
    desk = Desk(quotas={"scarce": Quota(rpm=1)})
    one, two, other = item("scarce"), item("scarce"), item()
    desk.add(one, two, other)

    assert set(desk.all()) == {one, other}
    assert desk.scheduler.wakes_at() == NOW + SPAN
    assert list(desk.scheduler.dozed()) == [(two.task.lane, NOW + SPAN)]
    assert list(desk.scheduler.dozed()) == []
    assert desk.wake(NOW + SPAN - 0.01) == []
    assert desk.wake(NOW + SPAN) == [two]
    assert desk.scheduler.wakes_at() == NEVER


def test_the_more_urgent_band_goes_first() -> None:
    """Whoever came first."""
    desk = Desk(Quota(rpm=4))
    items = [item(band=band) for band in (BATCH, Band.STANDARD, URGENT, Band.STANDARD, URGENT)]
    desk.add(*items)

    assert desk.all() == [items[2], items[4], items[1], items[3]]


def test_a_more_urgent_newcomer_wakes_a_lane_that_sleeps_for_another_band() -> None:
    """What is kept from batch work is kept for it."""
    desk = Desk(Quota(rpm=3))
    desk.add(item(), item(band=BATCH), item(band=BATCH))
    assert len(desk.all()) == 2
    newcomer = item()

    desk.add(newcomer)

    assert desk.all() == [newcomer]


def test_who_comes_behind_another_does_not_wake_its_lane() -> None:
    """There is still no permit: the window would be asked for nothing."""
    desk = Desk(Quota(rpm=1))
    desk.add(item(), item())
    desk.all()

    desk.add(item())

    assert desk.scheduler.wakes_at() == NOW + SPAN


def test_an_answer_wakes_its_lane() -> None:
    """It may have been the concurrency that was missing."""
    desk = Desk(Quota(concurrency=1, rpm=100))
    first, second = item(), item()
    desk.add(first, second)
    assert desk.all() == [first]
    assert desk.scheduler.wakes_at() == NEVER

    desk.end(first)

    assert desk.all() == [second]


def test_an_answer_wakes_the_lanes_that_share_its_quota() -> None:
    """And no others."""
    desk = Desk(PLENTY, quotas={"a:free": Quota(concurrency=1, rpm=9), "own": Quota(rpm=1)}, shared=":free")
    first, sharing, own = item("a:free"), item("b:free"), item("own")
    desk.add(first, item("own"), own)
    desk.all()
    desk.add(sharing)
    assert desk.all() == []

    desk.end(first)

    assert desk.all() == [sharing]


def test_who_leaves_makes_room_for_the_next() -> None:
    """Which may be smaller, and go at once."""
    desk = Desk(Quota(rpm=100, tpm=100))
    large, small = item(tokens=100), item(tokens=50)
    desk.add(item(tokens=50))
    desk.all()
    desk.add(large, small)
    assert desk.all() == []

    assert desk.scheduler.remove(large)
    assert not desk.scheduler.remove(large)

    assert desk.all() == [small]


def test_a_provider_of_which_something_was_learned_is_looked_at_again() -> None:
    """In all its lanes; those of others sleep on."""
    desk = Desk(Quota(rpm=1))
    for provider in "pq":
        desk.add(item(provider=provider), item(provider=provider))
    desk.all()
    for ledger in desk.ledgers.values():
        for account in ledger.accounts():
            account.give_back(account.charges[0])

    desk.scheduler.wake_provider("q")

    assert [each.task.provider for each in desk.all()] == ["q"]


def test_a_refused_task_that_comes_back_goes_first() -> None:
    """As if it had not gone."""
    desk = Desk(Quota(rpm=1))
    first, second = item(), item()
    desk.add(first, second)
    desk.all()

    desk.end(first, failure=Failure(FailureClass.CALLER_FAULT, "no"))
    desk.scheduler.add(first, first=True, refund=True)

    assert desk.wake(NOW + SPAN) == [first]


# --- small ones beside a large one


def test_small_ones_go_beside_a_large_one_that_waits_for_tokens() -> None:
    """As long as it is not delayed by them."""
    desk = Desk(Quota(rpm=100, tpm=100))
    desk.add(item(tokens=60))
    desk.all()
    large, tiny, small, more = item(tokens=80), item(tokens=5), item(tokens=15), item(tokens=30)
    desk.add(large, more, tiny, small)

    assert desk.all() == [tiny, small]
    assert desk.scheduler.wakes_at() == NOW + SPAN
    assert desk.wake(NOW + SPAN) == [large]


def test_a_small_one_that_comes_later_goes_beside_it_too() -> None:
    """A larger one than that which waits changes nothing."""
    desk = Desk(Quota(rpm=100, tpm=100))
    desk.add(item(tokens=60))
    desk.all()
    desk.add(item(tokens=80))
    assert desk.all() == []
    larger, small = item(tokens=90), item(tokens=20)

    desk.add(larger)
    assert desk.all() == []
    desk.add(small)
    assert desk.all() == [small]


def test_the_largest_is_not_kept_waiting_by_small_ones() -> None:
    """One that needs the whole window gets it, though there are always small ones that would fit."""
    desk = Desk(Quota(rpm=1000, tpm=100))
    desk.add(item(tokens=1))
    desk.all()
    whole = item(tokens=100)
    desk.add(whole)
    for second in range(60):
        desk.add(item(tokens=1))
        assert desk.wake(NOW + second) == []

    assert desk.wake(NOW + SPAN) == [whole]


def test_a_large_one_does_not_hold_up_small_ones_once_a_request_is_free() -> None:
    """Requests of the minute come back before all the tokens that it needs."""
    desk = Desk(Quota(rpm=2, tpm=100))
    desk.add(item(tokens=1))
    desk.all()
    desk.add(item(tokens=60))
    desk.all(NOW + 20)
    large, small = item(tokens=90), item(tokens=10)
    desk.add(large, small)
    assert desk.all(NOW + 20) == []

    assert desk.scheduler.wakes_at() == NOW + SPAN
    assert list(desk.scheduler.dozed()) == [(large.task.lane, NOW + 20 + SPAN)]
    assert desk.wake(NOW + SPAN) == [small]
    assert desk.wake(NOW + 20 + SPAN) == [large]


def test_batch_work_beside_a_large_task_takes_no_slot_that_is_kept() -> None:
    """Though there would be tokens for it."""
    desk = Desk(Quota(rpm=100, tpm=100), slots=2)
    desk.add(item(tokens=60))
    desk.all()
    desk.add(item(tokens=80), item(tokens=1, band=BATCH))

    assert desk.all() == []


# --- callers


def test_a_caller_has_no_more_at_work_than_it_may() -> None:
    """In all lanes together; the next one goes when one has ended, whichever it was."""
    eve = Caller("eve", max_concurrency=2)
    desk = Desk()
    items = [item(model, caller=eve) for model in ("a", "b", "c")]
    other = item("c")
    desk.add(*items, other)

    started = desk.all()
    assert other in started
    assert len(started) == 3
    desk.end(next(each for each in started if each is not other))

    assert len(desk.all()) == 1
    assert len(desk.scheduler.lanes) == 0


def test_a_lane_wakes_when_who_is_next_may_not_go_for_its_caller() -> None:
    """It slept for that one's tokens; the one behind it needs fewer."""
    eve = Caller("eve", max_concurrency=1)
    desk = Desk(PLENTY, quotas={"m": Quota(rpm=100, tpm=100)})
    desk.add(item(tokens=50))
    desk.all()
    behind = item(tokens=50)
    desk.add(item(tokens=100, caller=eve), behind)
    assert desk.all() == []

    elsewhere = item("other", caller=eve)
    desk.add(elsewhere)

    assert desk.all() == [elsewhere, behind]


def test_a_freed_caller_goes_on_in_lanes_that_sleep() -> None:
    """Its smaller task may go where the next one may not."""
    eve = Caller("eve", max_concurrency=1)
    desk = Desk(PLENTY, quotas={"m": Quota(rpm=100, tpm=100)})
    desk.add(item(tokens=50), first := item("other", caller=eve))
    desk.all()
    small = item(tokens=50, caller=eve)
    desk.add(small, large := item(tokens=80))
    assert desk.all() == []

    desk.end(first)

    assert desk.all() == [small]
    assert desk.scheduler.ahead(large) == 0


# --- slots that are kept


def test_batch_work_leaves_slots_to_others_that_were_there() -> None:
    """One at least, for ten minutes; alone it may have all."""
    alone, watched = Desk(slots=5), Desk(slots=5)
    watched.add(item())
    watched.end(watched.all()[0])
    for desk in (alone, watched):
        desk.add(*[item(band=BATCH) for _ in range(9)])

    assert (len(alone.all()), len(watched.all())) == (5, 4)
    newcomer = item()
    watched.add(newcomer)
    assert watched.all() == [newcomer]
    watched.end(newcomer, NOW + 1)
    assert watched.all(NOW + 599.9) == []
    assert len(watched.all(NOW + 600)) == 1


def test_as_many_slots_are_kept_as_others_had_at_once() -> None:
    """Up to a fifth of them."""
    desk = Desk(slots=20)
    desk.add(*[item() for _ in range(10)])
    for started in desk.all():
        desk.end(started)
    desk.add(*[item(band=BATCH) for _ in range(30)])

    assert len(desk.all(NOW + 61)) == 16


def test_one_slot_is_nobodys() -> None:
    """Batch work may have it whenever it is free: it would wait for ever otherwise."""
    desk = Desk(slots=1)
    desk.add(first := item(), batch := item(band=BATCH))
    assert desk.all() == [first]

    desk.end(first)

    assert desk.all() == [batch]


# --- where it stands


def test_who_waits_is_told_where_it_stands() -> None:
    """Behind those of its lane that go before it."""
    desk = Desk(Quota(rpm=0))
    items = [item(band=band) for band in (BATCH, URGENT, URGENT)]
    desk.add(*items, item("other"))

    assert [desk.scheduler.ahead(each) for each in items] == [2, 0, 1]


def test_starts_are_foretold_from_windows_and_order() -> None:
    """For each place in the lane; a task that may go starts now."""
    desk = Desk(Quota(rpm=2))
    items = [item() for _ in range(6)]
    desk.add(*items)

    assert [desk.scheduler.eta(each, NOW) for each in items] == [0, 0, SPAN, SPAN, 2 * SPAN, 2 * SPAN]
    desk.all()
    assert [desk.scheduler.eta(each, NOW + 1) for each in items[2:]] == [60, 60, 121, 121]


def test_tokens_before_it_are_taken_for_those_of_an_average_task() -> None:
    """Nobody adds them up one by one."""
    desk = Desk(Quota(rpm=100, tpm=100))
    items = [item(tokens=50) for _ in range(6)]
    desk.add(*items)

    assert [desk.scheduler.eta(each, NOW) for each in items] == [0, 0, SPAN, SPAN, 2 * SPAN, 2 * SPAN]


def test_nothing_is_foretold_where_nothing_is_known() -> None:
    """Neither limits nor how long attempts take."""
    desk = Desk(Quota())
    waiting = [item() for _ in range(3)]
    desk.add(*waiting)
    desk.all()

    assert desk.scheduler.eta(waiting[2], NOW) is None


def test_where_no_window_holds_it_up_starts_are_foretold_from_how_long_attempts_take() -> None:
    """Those that are at work end one after the other."""
    desk = Desk(PLENTY, slots=2)
    items = [item() for _ in range(6)]
    desk.add(*items)
    first, _ = desk.all()
    desk.end(first, seconds=4.0)
    desk.all()

    assert [desk.scheduler.eta(each, NOW) for each in items[3:]] == [2.0, 4.0, 6.0]


def test_what_is_known_of_how_long_attempts_take_follows_them() -> None:
    """The last one counts for a fifth; one that failed for nothing."""
    desk = Desk(PLENTY, slots=1)
    items = [item() for _ in range(4)]
    desk.add(*items)
    for seconds, failure in ((10.0, None), (20.0, None), (99.0, Failure(FailureClass.CALLER_FAULT, "no"))):
        (started,) = desk.all()
        desk.end(started, seconds=seconds, failure=failure)
    desk.add(last := item())
    desk.all()

    assert desk.scheduler.eta(last, NOW) == 12.0


def test_nobody_starts_before_its_window_opens() -> None:
    """However soon its turn would be: it is larger than what is left, or its key is closed."""
    desk = Desk(Quota(rpm=100, tpm=100))
    desk.add(item(tokens=60))
    desk.all()
    desk.add(large := item(tokens=80))

    assert desk.scheduler.eta(large, NOW) == SPAN
    assert desk.scheduler.starts_at(large, NOW) == NOW + SPAN
    (account,) = desk.ledgers["p"].accounts()
    account.close(NOW, NOW + 500, "closed")
    assert desk.scheduler.eta(large, NOW) == 500


def test_where_an_answer_is_awaited_nobody_can_name_the_instant() -> None:
    """It may come at any time."""
    desk = Desk(Quota(concurrency=1))
    desk.add(item(), waiting := item())
    desk.all()

    assert desk.scheduler.starts_at(waiting, NOW) == ANSWER


def test_it_is_foretold_how_long_one_more_would_wait() -> None:
    """Nothing where nobody waits, or nothing is known."""
    desk = Desk(Quota(rpm=2), quotas={"free": Quota()})
    assert desk.scheduler.lane_wait(("p", "m"), NOW) == 0
    desk.add(*[item() for _ in range(2)], *[item("free") for _ in range(2)])

    assert desk.scheduler.lane_wait(("p", "m"), NOW) == SPAN
    assert desk.scheduler.lane_wait(("p", "free"), NOW) == 0


# --- how fast it is


@pytest.mark.parametrize("quota", [PLENTY, Quota(rpm=10)], ids=["open", "closed"])
def test_a_decision_is_quick_however_many_wait(quota: Quota) -> None:
    """Far less than a thousandth of a second, with twenty thousand tasks in fifty lanes."""
    desk = Desk(quota, slots=100_000)
    desk.add(*[item(f"model-{number % 50}", band=list(Band)[number % 3]) for number in range(20_000)])
    gc.collect()

    took, decisions = time.perf_counter(), 0
    while decisions < 2000 and desk.next(NOW) is not None:
        decisions += 1
    took = time.perf_counter() - took

    assert took / decisions < 0.001

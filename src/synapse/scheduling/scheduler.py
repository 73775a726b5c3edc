"""Pairs waiting tasks and permits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Generic, TypeVar

from synapse.domain.caller import Band
from synapse.scheduling.account import NEVER
from synapse.scheduling.demand import Demand
from synapse.scheduling.forecast import Forecast
from synapse.scheduling.lanes import Lanes, Waiting
from synapse.scheduling.quota import MINUTE
from synapse.scheduling.slow_start import ANSWER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from synapse.domain.task import Task
    from synapse.scheduling.ledger import Ledger, Permit
    from synapse.scheduling.slots import Slots

T = TypeVar("T", bound=Waiting)
Lane = tuple[str, str]

_FRESH = 1.0
"""Seconds for which a forecast is good enough."""
_BESIDE = 16
"""How many tasks behind a large one are looked at for some that fit beside it."""
_AGAIN = 0.001
"""Seconds; a lane that could not be served is not looked at again at the same instant."""
_MEMORY = 0.2
"""Weight of the last attempt in what is known of how long attempts take."""


class Scheduler(Generic[T]):
    """What waits, and when it may go: plain functions of this state and `now`, UTC seconds.

    A lane for whose next item there is no permit sleeps until its windows open, for that or for a smaller one behind
    it, or something happens to it.
    """

    def __init__(self, ledgers: Mapping[str, Ledger], *, interactive_reserve: float = 0.2) -> None:
        """Take the ledger of each provider, and the largest share of slots that is kept from batch work."""
        self.ledgers = ledgers
        self.lanes: Lanes[T] = Lanes()
        self._reserve = interactive_reserve
        self._asleep: dict[Lane, float] = {}
        self._dozed: dict[Lane, float] = {}
        self._blocked: dict[Lane, int] = {}
        """Sleeping lanes whose next item is only too large, and its tokens."""
        self._demand = Demand(MINUTE)
        self._running: Counter[str] = Counter()
        """Tasks at work, by caller, of callers that may have only so many."""
        self._at_work: dict[Lane, int] = {}
        self._seconds: dict[Lane, float] = {}
        """How long attempts take."""
        self._forecasts: dict[Lane, tuple[float, Forecast]] = {}

    # --- what waits

    def add(self, item: T, *, first: bool = False, refund: bool = False) -> None:
        """Let an item wait, at the end of its lane or, when it has been there before, in front."""
        lane = item.task.lane
        if self.lanes.push(item, first=first, refund=refund) or item.tokens < self._blocked.get(lane, 0):
            self.wake(lane)

    def remove(self, item: T) -> bool:
        """Let an item wait no more; return whether it did."""
        if not self.lanes.remove(item):
            return False
        self.wake(item.task.lane)
        return True

    # --- whose turn it is

    def next(self, slots: Slots, now: float) -> tuple[T, Permit] | None:
        """Take the next item that a slot and a credential are free for, with its permit; it leaves its lane."""
        asleep = self._asleep
        for lane in slots.order([lane for lane in self.lanes if lane not in asleep] if asleep else self.lanes):
            item = self.lanes.first(lane)
            if item is None or (item.task.band is Band.BATCH and not self._slot_for_batch(slots, now)):
                continue
            task = item.task
            permit = self.ledgers[task.provider].take(task.model, item.tokens, task.band, now)
            if permit is not None:
                return self._start(item, permit, now)
            turn = self._beside(item, slots, now)
            if turn is not None:
                return turn
            self._sleep(item, now)
        return None

    def _start(self, item: T, permit: Permit, now: float) -> tuple[T, Permit]:
        self.lanes.take(item)
        task = item.task
        self._at_work[task.lane] = self._at_work.get(task.lane, 0) + 1
        if task.band is not Band.BATCH:
            self._demand.sent(now)
        most = task.caller.max_concurrency
        if most is not None:
            self._running[task.caller.name] += 1
            if self._running[task.caller.name] >= most:
                self.lanes.hold(task.caller.name)
                self._wake_related(task.lane, everywhere=True)  # others may be next now
        return item, permit

    def _slot_for_batch(self, slots: Slots, now: float) -> bool:
        kept = self._demand.kept_at_once(now, slots.total, self._reserve)
        return slots.total - slots.taken - 1 >= kept if kept else True

    def _beside(self, head: T, slots: Slots, now: float) -> tuple[T, Permit] | None:
        """Take one that is small enough to go before a large one without delaying it."""
        ledger, model = self.ledgers[head.task.provider], head.task.model
        if ledger.opens_at(model, 1, head.task.band, now) > now:
            return None
        for item in self.lanes.upcoming(head.task.lane, _BESIDE)[1:]:
            if item.tokens < head.tokens and (item.task.band is not Band.BATCH or self._slot_for_batch(slots, now)):
                permit = ledger.take(model, item.tokens, item.task.band, now, behind=head.tokens)
                if permit is not None:
                    return self._start(item, permit, now)
        self._blocked[head.task.lane] = head.tokens
        return None

    # --- sleep

    def _sleep(self, item: T, now: float) -> None:
        task, lane = item.task, item.task.lane
        opens_at = self.ledgers[task.provider].opens_at(task.model, item.tokens, task.band, now)
        self._asleep[lane] = max(now + _AGAIN, min(opens_at, self._beside_at(item, now)))
        self._dozed[lane] = opens_at

    def _beside_at(self, head: T, now: float) -> float:
        """Return when to look again for one that is small enough to go before a large one."""
        task, lane = head.task, head.task.lane
        ledger = self.ledgers[task.provider]
        opens_at = ledger.opens_at(task.model, 1, task.band, now)
        if opens_at > now:
            return opens_at
        return ledger.pool(task.model).frees_at(now) if self.lanes.size(lane) > 1 else NEVER

    def starts_at(self, item: T, now: float) -> float:
        """Return when an item may go if it is next: past is now, `ANSWER` at some answer, `NEVER` never."""
        task = item.task
        return self.ledgers[task.provider].starts_at(task.model, item.tokens, task.band, now)

    def wake(self, lane: Lane) -> None:
        """Look at a lane again: something has happened to it."""
        self._asleep.pop(lane, None)
        self._blocked.pop(lane, None)

    def wake_due(self, now: float) -> None:
        """Look at the lanes again whose windows have opened."""
        for lane in [lane for lane, opens_at in self._asleep.items() if opens_at <= now]:
            self.wake(lane)

    def wakes_at(self) -> float:
        """Return when the first sleeping lane opens; infinite when none does by itself."""
        return min([opens_at for opens_at in self._asleep.values() if opens_at < ANSWER], default=NEVER)

    def dozed(self) -> Iterator[tuple[Lane, float]]:
        """Give the lanes that have gone to sleep since this was last asked, and when they open for who is next."""
        dozed, self._dozed = self._dozed, {}
        for lane, opens_at in dozed.items():
            if lane in self._asleep and lane in self.lanes:
                yield lane, opens_at

    # --- what has ended

    def ended(self, task: Task, *, seconds: float | None = None) -> None:
        """Note that an item's attempt is over; `seconds` is how long it took, where it answered."""
        lane = task.lane
        left = self._at_work[lane] - 1
        if left:
            self._at_work[lane] = left
        else:
            del self._at_work[lane]
        if task.band is not Band.BATCH:
            self._demand.answered()
        if seconds is not None:
            known = self._seconds.get(lane, seconds)
            self._seconds[lane] = known + _MEMORY * (seconds - known)
        most = task.caller.max_concurrency
        if most is not None:
            self._running[task.caller.name] -= 1
            self.lanes.free(task.caller.name)
        if self._asleep:
            self._wake_related(lane, everywhere=most is not None)

    def _wake_related(self, lane: Lane, *, everywhere: bool) -> None:
        shared = self.ledgers[lane[0]].terms.shared_models
        for other in list(self._asleep):
            if other == lane or everywhere or (shared and other[0] == lane[0]):
                self.wake(other)

    def wake_provider(self, provider: str) -> None:
        """Look at all lanes of a provider again: something was learned that may concern them."""
        for lane in [lane for lane in self._asleep if lane[0] == provider]:
            self.wake(lane)

    # --- where it stands

    def ahead(self, item: T) -> int:
        """Count those of its lane that go before an item."""
        return self.lanes.position(item)

    def eta(self, item: T, now: float) -> float | None:
        """Return in how many seconds a waiting item is likely to start; None when that cannot be told."""
        task, lane = item.task, item.task.lane
        ahead = self.lanes.position(item)
        tokens = item.tokens + self.lanes.tokens(lane) * ahead // max(1, self.lanes.size(lane))
        start = self._forecast(lane, now).start(ahead, tokens)
        opens_at = self.starts_at(item, now)
        if opens_at < ANSWER:
            start = max(opens_at, start if start is not None else 0.0) if start is not None or opens_at > now else None
        by_pace = self._by_pace(task, ahead)
        if by_pace is not None and (start is None or start <= now):
            return by_pace
        if start is None or (start <= now and opens_at == ANSWER):
            return None
        return max(0.0, start - now)

    def lane_wait(self, lane: Lane, now: float) -> float:
        """Foresee how many seconds one more would wait at a lane's end; 0 where that cannot be told."""
        ahead = self.lanes.size(lane)
        if not ahead:
            return 0.0
        start = self._forecast(lane, now).start(ahead, self.lanes.tokens(lane))
        return max(0.0, start - now) if start is not None else 0.0

    def _by_pace(self, task: Task, ahead: int) -> float | None:
        """Foresee from how fast the lane is served, where no window holds it up."""
        at_work, seconds = self._at_work.get(task.lane, 0), self._seconds.get(task.lane)
        return None if seconds is None or not at_work else (ahead + 1) / at_work * seconds

    def _forecast(self, lane: Lane, now: float) -> Forecast:
        made_at, forecast = self._forecasts.get(lane, (0.0, None))
        if forecast is None or not 0 <= now - made_at < _FRESH:
            forecast = Forecast(self.ledgers[lane[0]].pool(lane[1]), now, seconds=self._seconds.get(lane))
            self._forecasts[lane] = now, forecast
        return forecast

"""The broker of a single process: lanes, leases and logs in its memory."""

from __future__ import annotations

import asyncio
import functools
import math
from typing import TYPE_CHECKING, Self

import msgspec
import structlog

from synapse.brokers.base import BrokerStats, Lease, LeaseLost, OnChange, Place, TaskEnd, nobody
from synapse.brokers.held import Held
from synapse.brokers.log import EventLog
from synapse.domain.errors import Cancelled, Expired, NoCredentials, QueueFull, SynapseError, WaitTooLong
from synapse.domain.events import Error, Finish
from synapse.domain.task import Task, TaskState
from synapse.scheduling.account import NEVER
from synapse.scheduling.scheduler import Scheduler
from synapse.scheduling.settlement import Fail, GiveUp, Release, Retry, Succeed
from synapse.scheduling.slow_start import ANSWER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from synapse.domain.clock import Clock, Timer
    from synapse.domain.events import Content
    from synapse.domain.quota import Headroom
    from synapse.scheduling.ledger import Ledger, Permit
    from synapse.scheduling.news import News
    from synapse.scheduling.settlement import Settlement
    from synapse.scheduling.slots import Slots

log = structlog.get_logger("synapse.broker")

Lane = tuple[str, str]

_QUEUE_FULL_PAUSE = 1.0
"""Seconds after which a caller refused for a full queue may try again: places come free all the time."""
_SHORT = 5.0
"""Seconds of waiting for a credential that are not worth asking everybody in a lane about."""


class MemorySubscription:
    """The reader of an attached task. When it stops reading, nobody is left who wants the answer."""

    __slots__ = ("_broker", "_held", "next")

    def __init__(self, broker: MemoryBroker, held: Held) -> None:
        """Read the log of a task that the broker holds."""
        self._broker = broker
        self._held = held
        self.next = held.log.next

    async def __aenter__(self) -> Self:
        """Begin to read."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading: cancel the task if it has not ended, and forget it."""
        self._broker.forget(self._held)


class MemoryBroker:
    """Keeps everything in this process; nothing outlives it but what the ledgers' keeper saves."""

    def __init__(
        self,
        ledgers: Mapping[str, Ledger],
        *,
        clock: Clock,
        max_size: int,
        interactive_reserve: float = 0.2,
        on_end: Callable[[TaskEnd], object] = lambda _: None,
        on_change: OnChange = nobody,
    ) -> None:
        """Take each provider's ledger, the most tasks that may wait, and the share of slots kept from batch work.

        `on_end` is told of each task's end, `on_change` that a ledger has changed, and whether that must not be lost.
        """
        self._ledgers = ledgers
        self._clock = clock
        self._max_size = max_size
        self._on_end = on_end
        self._on_change = on_change
        self._scheduler: Scheduler[Held] = Scheduler(ledgers, interactive_reserve=interactive_reserve)
        self._tasks: dict[str, Held] = {}
        self._newcomers: list[Held] = []
        """Queued since a worker last found nothing to lease; their waits are not limited yet."""
        self._newest: Held | None = None
        """Not accepted yet: what it will have to wait for is looked at when it does wait."""
        self._delayed = 0
        self._running = 0
        self._ready: Callable[[], object] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._opening: Timer | None = None
        self._opens_at = NEVER
        """When `_opening` goes off, UTC."""
        self._agreed: dict[Lane, float] = {}
        """Until when all in a lane have agreed to wait."""

    # --- those who submit and read

    async def enqueue(self, task: Task) -> None:
        """Accept a task into its lane, or into that of a fallback; or raise why not."""
        if len(self._scheduler.lanes) + self._delayed >= self._max_size:
            raise QueueFull(
                f"{self._max_size} tasks are waiting already, as many as queue.max_size allows: try again shortly",
                retry_after=_QUEUE_FULL_PAUSE,
            )
        held = Held(task, EventLog(self._clock), self._clock.monotonic())
        if task.fallbacks:
            here = self._wait_in(task.lane, held, 0.0)
            self._fall_back(held, here, self._steps(held, here, task.fallback_after, 0.0))
        self._tasks[task.id] = self._newest = held
        self._queue(held)
        self._newest = None
        if held.state is TaskState.QUEUED:
            self._check_wait(held)

    def subscribe(self, task_id: str) -> MemorySubscription:
        """Read the log of a task."""
        return MemorySubscription(self, self._tasks[task_id])

    def place(self, task_id: str) -> Place | None:
        """Say where a task stands; None when it does not wait."""
        held = self._tasks.get(task_id)
        if held is None or held.state is not TaskState.QUEUED:
            return None
        if held.delayed_until is not None:
            return Place(1, max(0.0, held.delayed_until - self._clock.monotonic()))
        ahead = self._scheduler.ahead(held)
        return Place(ahead + 1, self._scheduler.eta(held, self._clock.now()))

    async def cancel(self, task_id: str) -> None:
        """End a task, waiting or running."""
        held = self._tasks.get(task_id)
        if held is not None:
            self._end(held, TaskState.CANCELLED, Error(Cancelled("the task was cancelled")))

    def forget(self, held: Held) -> None:
        """Drop a task that nobody reads any more; what has not ended is cancelled."""
        if not held.log.ended:
            self._end(held, TaskState.CANCELLED, Error(Cancelled("the caller went before the task ended")))
        held.log.close()
        self._tasks.pop(held.task.id, None)
        if not self._tasks and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def idle(self) -> None:
        """Return when no task is held: none waits, none runs, none is read."""
        while self._tasks:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def close(self, error: SynapseError) -> None:
        """End everything there still is with an error; its readers hear of it."""
        for held in list(self._tasks.values()):
            self._end(held, TaskState.CANCELLED, Error(error))

    def stats(self) -> BrokerStats:
        """Say how many tasks stand where."""
        return BrokerStats(len(self._scheduler.lanes) + self._delayed, self._running, len(self._tasks))

    # --- those who run

    def when_ready(self, callback: Callable[[], object] | None) -> None:
        """Have a callback run each time a lease may have become possible."""
        self._ready = callback
        if callback is None:
            self._time_newcomers()

    def lease(self, slots: Slots) -> Lease | None:
        """Take the next task that a credential may carry, of a lane that the slots admit."""
        if not self._scheduler.lanes:
            self._newcomers.clear()
            return None
        turn = self._scheduler.next(slots, self._clock.now())
        if turn is not None:
            return self._start(*turn)
        moved = [self._reconsider(lane, opens_at) for lane, opens_at in self._scheduler.dozed()]
        if any(moved):
            return self.lease(slots)
        self._set_alarm()
        if self._newcomers:
            self._time_newcomers()
        return None

    async def publish(self, lease: Lease, content: Sequence[Content]) -> None:
        """Append to the task's log, held back by a slow reader."""
        held = self._leased(lease)
        if held is None:
            raise LeaseLost(lease.task.id)
        if held.first_delta_at is None:
            held.first_delta_at = self._clock.monotonic()
        held.wrote = True
        for piece in content:
            lease.seq += 1
            held.log.append(((lease.run, lease.seq), piece))
        if held.log.full:
            await held.log.room()

    def hear(self, lease: Lease, headroom: Sequence[Headroom]) -> None:
        """Take that the provider answers, and what it said of its limits beside the answer."""
        self._ledgers[lease.task.provider].hear(lease.permit, headroom, self._clock.now())
        self._on_change(urgent=False)
        if lease.task.lane in self._scheduler.lanes:
            self._scheduler.wake(lease.task.lane)
            self._call_workers()

    async def settle(self, lease: Lease, settlement: Settlement) -> None:
        """End the lease; state, last entry and ledger change together."""
        held = self._leased(lease)
        if not lease.settled:
            lease.settled = True
            self._settle_permit(lease, settlement)
        if held is not None:
            self._settle(held, settlement)
        if self._scheduler.lanes:
            self._call_workers()

    def _settle_permit(self, lease: Lease, settlement: Settlement) -> None:
        """Let the ledger know what came of the request; what it learned may concern all lanes of the provider."""
        task, started_at = lease.task, lease.started_at
        usage = failure = None
        if type(settlement) is Succeed:
            usage = settlement.finish.usage
        elif isinstance(settlement, (Retry, Fail)):
            failure = settlement.failure
        ledger = self._ledgers[task.provider]
        news = ledger.settle(lease.permit, self._clock.now(), usage=usage, failure=failure)
        self._scheduler.ended(task, seconds=self._clock.monotonic() - started_at if usage is not None else None)
        if failure is not None:
            self._scheduler.wake_provider(task.provider)
        for each in news:
            _tell(task.provider, each, self._clock.now())
        self._on_change(urgent=bool(news))

    def _settle(self, held: Held, settlement: Settlement) -> None:
        match settlement:
            case Succeed(finish):
                if held.task.fallen_to is not None:
                    finish = msgspec.structs.replace(finish, fallen_to=held.task.fallen_to)
                self._end(held, TaskState.SUCCEEDED, finish)
            case Fail(error):
                self._end(held, TaskState.FAILED, Error(error))
            case Retry():
                self._requeue(held, settlement)
            case Release():
                self._requeue(held, Retry(0.0, counted=False, reason="released"))
            case GiveUp():
                self._end(held, TaskState.CANCELLED, Error(Cancelled("the attempt was given up")))

    # --- one step each

    def _leased(self, lease: Lease) -> Held | None:
        held = self._tasks.get(lease.task.id)
        return held if held is not None and held.lease is lease else None

    def _queue(self, held: Held, *, first: bool = False, refund: bool = False) -> None:
        held.queued_at = self._clock.monotonic()
        if held.task.fallbacks:
            held.falls_back_at = held.queued_at + held.task.fallback_after
        self._scheduler.add(held, first=first, refund=refund)
        self._newcomers.append(held)
        if first:
            self._check_returned(held)
        self._call_workers()

    def _check_returned(self, held: Held) -> None:
        """End a task that comes back too late: for its timeout, or for the credential that its lane waits for."""
        if held.due_at <= held.queued_at:
            self._end(held, TaskState.FAILED, Error(held.too_late()))
        else:
            self._reconsider_one(held)  # it was not there when the others agreed to wait, and knows more than they do

    def _call_workers(self) -> None:
        if self._ready is not None:
            self._ready()
        else:
            self._time_newcomers()

    def _time_newcomers(self) -> None:
        """Limit the wait of those who could not be leased at once; most can, and need no timer."""
        for held in self._newcomers:
            if held.state is TaskState.QUEUED and held.timer is None:
                self._time(held)
        self._newcomers.clear()

    def _time(self, held: Held) -> None:
        wait = min(held.patient_until, held.due_at, held.falls_back_at) - self._clock.monotonic()
        held.timer = self._clock.call_later(max(0.0, wait), functools.partial(self._lose_patience, held))

    def _start(self, held: Held, permit: Permit) -> Lease:
        self._running += 1
        if permit.spends_day:
            self._on_change(urgent=True)
        return held.start(permit, self._clock.monotonic())

    def _requeue(self, held: Held, retry: Retry) -> None:
        held.give_back(counted=retry.counted)
        self._running -= 1
        if retry.fall_back and held.task.fallbacks:
            _tell_fall_back(held, retry.reason)
            held.fall_back()
        if retry.delay <= 0:
            self._queue(held, first=True, refund=not retry.counted)
            return
        self._delayed += 1
        delay = max(0.0, min(retry.delay, held.due_at - self._clock.monotonic()))
        held.delayed_until = self._clock.monotonic() + delay
        held.timer = self._clock.call_later(delay, functools.partial(self._undelay, held))

    def _undelay(self, held: Held) -> None:
        held.timer = None
        held.delayed_until = None
        self._delayed -= 1
        self._queue(held, first=True)

    def _lose_patience(self, held: Held) -> None:
        """End a task that has waited for as long as it may, or let it go where it would start sooner."""
        held.timer = None
        now = self._clock.monotonic()
        if now < min(held.patient_until, held.due_at):
            moved = self._fall_back_if_sooner(held)
            held.falls_back_at = now + max(held.task.fallback_after, _SHORT) if held.task.fallbacks else math.inf
            self._time(held)
            if moved:
                self._call_workers()
            return
        error = held.too_late()
        self._end(held, TaskState.EXPIRED if isinstance(error, Expired) else TaskState.FAILED, Error(error))

    def _end(self, held: Held, state: TaskState, event: Finish | Error) -> None:
        """Let a task be over, wherever it stands. The first end counts."""
        lease, was = held.lease, held.state
        if was is TaskState.QUEUED:
            held.stop_timer()
            if held.delayed_until is None:
                self._scheduler.remove(held)
                held.waited += self._clock.monotonic() - held.queued_at
            else:
                self._delayed -= 1
        elif was is TaskState.RUNNING:
            self._running -= 1
        else:
            return
        held.end(state, event)
        self._on_end(held.summary(event, self._clock.monotonic()))
        if lease is not None and state is TaskState.CANCELLED:
            lease.revoke()

    # --- openings

    def _check_opening(self, held: Held, patience: float) -> None:
        """Raise when no credential can carry the task within `patience` seconds."""
        task = held.task
        opens_at = self._scheduler.starts_at(held, self._clock.now())
        if opens_at == NEVER:
            raise NoCredentials(self._ledgers[task.provider].refusal(task.model))
        wait = opens_at - self._clock.now()
        if opens_at < ANSWER and wait > patience:
            raise self._too_long(held, wait, patience)

    def _check_wait(self, held: Held) -> None:
        """Refuse a newcomer whose credential, or the tasks before it, will keep it waiting for longer than it may."""
        try:
            self._check_opening(held, held.task.max_wait)
            self._check_eta(held)
        except SynapseError:
            self._scheduler.remove(held)
            held.stop_timer()
            held.state = TaskState.FAILED
            del self._tasks[held.task.id]
            raise

    def _check_eta(self, held: Held) -> None:
        task = held.task
        if self._scheduler.lanes.size(task.lane) == 1 or not self._ledgers[task.provider].known(task.model):
            return
        eta = self._scheduler.eta(held, self._clock.now())
        if eta is not None and eta > task.max_wait:
            raise self._too_long(held, eta, task.max_wait)

    def _too_long(self, held: Held, wait: float, patience: float) -> WaitTooLong:
        task = held.task
        return WaitTooLong(
            f"no credential of {task.provider} can carry {task.model} within {round(patience, 1):g} s: "
            f"the first is free in {wait:.0f} s",
            retry_after=wait,
        )

    def _set_alarm(self) -> None:
        """Come back when the first sleeping lane opens."""
        opens_at = self._scheduler.wakes_at()
        if opens_at < self._opens_at:
            if self._opening is not None:
                self._opening.cancel()
            self._opens_at = opens_at
            self._opening = self._clock.call_later(max(0.0, opens_at - self._clock.now()), self._open)

    def _open(self) -> None:
        self._opening = None
        self._opens_at = NEVER
        self._scheduler.wake_due(self._clock.now())
        self._set_alarm()
        self._call_workers()

    def _reconsider(self, lane: Lane, opens_at: float) -> bool:
        """Ask those who wait in a lane whether they will still wait, when they have to for longer than they knew.

        Returns whether any went to another lane.
        """
        now = self._clock.now()
        broken = not self._ledgers[lane[0]].pool(lane[1]).breaker.closed
        if opens_at == ANSWER or (opens_at - now <= _SHORT and not broken):
            return False
        first = self._scheduler.lanes.first(lane)
        if first is None or self._scheduler.starts_at(first, now) == ANSWER:
            return False  # that may come sooner: nobody has to agree to anything yet
        if opens_at <= self._agreed.get(lane, -NEVER) + _SHORT:
            return False
        self._agreed[lane] = opens_at
        waiting = self._scheduler.lanes.items(lane)
        moved = [self._reconsider_one(held) for held in waiting if held is not self._newest]
        return any(moved)

    def _reconsider_one(self, held: Held) -> bool:
        moved = self._fall_back_if_sooner(held)
        waited = held.waited + self._clock.monotonic() - held.queued_at
        try:
            self._check_opening(held, max(0.0, held.task.max_wait - waited))
        except SynapseError as refusal:
            self._end(held, TaskState.FAILED, Error(refusal))
        return moved

    # --- fallbacks

    def _fall_back_if_sooner(self, held: Held) -> bool:
        """Let a waiting task go to the lane of a fallback, if it would start there sooner; return whether it went."""
        if not held.task.fallbacks or held.state is not TaskState.QUEUED:
            return False
        patience = held.task.fallback_after - (self._clock.monotonic() - held.queued_at)
        unknown = 0.0 if patience > 0 else ANSWER
        eta = self._scheduler.eta(held, self._clock.now()) or 0.0
        here = max(eta, self._wait_in(held.task.lane, held, eta or unknown))
        steps = self._steps(held, here, max(0.0, patience), unknown)
        if not steps:
            return False
        self._scheduler.remove(held)
        self._fall_back(held, here, steps)
        self._scheduler.add(held)
        return True

    def _steps(self, held: Held, here: float, patience: float, unknown: float) -> int:
        """Count how often to fall back: while the wait is longer than `patience`, and somewhere else it is shorter."""
        waits = [here]
        for route in held.task.fallbacks:
            lane = route.provider, route.model
            waits.append(max(self._wait_in(lane, held, unknown), self._scheduler.lane_wait(lane, self._clock.now())))
        return next((place for place, wait in enumerate(waits) if wait <= patience), waits.index(min(waits)))

    def _wait_in(self, lane: Lane, held: Held, unknown: float) -> float:
        """Foresee for how long a task waits in a lane for its credential; `unknown` where only an answer tells."""
        provider, model = lane
        ledger, now = self._ledgers[provider], self._clock.now()
        if not ledger.pool(model).breaker.closed:
            return NEVER
        starts_at = ledger.starts_at(model, held.tokens, held.task.band, now)
        return unknown if starts_at == ANSWER else max(0.0, starts_at - now)

    @staticmethod
    def _fall_back(held: Held, wait: float, steps: int) -> None:
        for _ in range(steps):
            _tell_fall_back(held, _too_much(wait))
            held.fall_back()


def _tell(provider: str, news: News, now: float) -> None:
    until = news.until
    seconds = None if until is None or until >= ANSWER else round(until - now, 1)
    log.warning(
        news.event,
        provider=provider,
        credential=news.credential,
        project=news.project,
        model=news.model,
        seconds=seconds,
        reason=news.reason,
    )


def _tell_fall_back(held: Held, reason: str) -> None:
    route = held.task.fallbacks[0]
    log.info("task falls back", task=held.task.id, model=held.task.model, to=route.code, reason=reason)


def _too_much(wait: float) -> str:
    if wait == NEVER:
        return "nothing can carry it"
    return "it has waited for long enough" if wait >= ANSWER else f"the wait would be {wait:.0f} s"

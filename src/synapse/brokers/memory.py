"""The broker of a single process: lanes, leases and logs in its memory."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Self

import structlog

from synapse.brokers.base import BrokerStats, Lease, LeaseLost, TaskEnd
from synapse.brokers.held import Held
from synapse.brokers.log import EventLog
from synapse.domain.errors import Cancelled, Expired, NoCredentials, QueueFull, SynapseError, WaitTooLong
from synapse.domain.events import Error, Finish
from synapse.domain.task import Task, TaskState
from synapse.scheduling.credentials import NEVER
from synapse.scheduling.lanes import Lanes
from synapse.scheduling.settlement import Fail, GiveUp, Release, Retry, Succeed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

    from synapse.domain.clock import Clock, Timer
    from synapse.domain.events import Delta
    from synapse.scheduling.credentials import CredentialPool, Permit, Rest
    from synapse.scheduling.lanes import Slots
    from synapse.scheduling.settlement import Settlement

log = structlog.get_logger("synapse.broker")

_QUEUE_FULL_PAUSE = 1.0
"""Seconds after which a caller refused for a full queue may try again: places come free all the time."""


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
    """Keeps everything in this process; nothing outlives it."""

    def __init__(
        self,
        pools: Mapping[str, CredentialPool],
        *,
        clock: Clock,
        max_size: int,
        on_end: Callable[[TaskEnd], object] = lambda _: None,
    ) -> None:
        """Take the credentials of each provider, the most tasks that may wait, and who is told of each task's end."""
        self._pools = pools
        self._clock = clock
        self._max_size = max_size
        self._on_end = on_end
        self._tasks: dict[str, Held] = {}
        self._lanes: Lanes[Held] = Lanes()
        self._newcomers: list[Held] = []
        """Queued since a worker last found nothing to lease; their waits are not limited yet."""
        self._delayed = 0
        self._running = 0
        self._ready: Callable[[], object] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._opening: Timer | None = None
        self._opens_at = NEVER
        """When `_opening` goes off, UTC."""
        self._held_back: dict[str, float] = {}
        """Lanes that wait for a credential, and the instant for which all in them have agreed to wait."""

    # --- those who submit and read

    async def enqueue(self, task: Task) -> None:
        """Accept a task into its lane, or raise why not."""
        if len(self._lanes) + self._delayed >= self._max_size:
            raise QueueFull(
                f"{self._max_size} tasks are waiting already, as many as queue.max_size allows: try again shortly",
                retry_after=_QUEUE_FULL_PAUSE,
            )
        self._check_opening(task, task.max_wait)
        held = Held(task, EventLog(self._clock), self._clock.monotonic())
        self._tasks[task.id] = held
        self._queue(held)

    def subscribe(self, task_id: str) -> MemorySubscription:
        """Read the log of a task."""
        return MemorySubscription(self, self._tasks[task_id])

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
        return BrokerStats(len(self._lanes) + self._delayed, self._running, len(self._tasks))

    # --- those who run

    def when_ready(self, callback: Callable[[], object] | None) -> None:
        """Have a callback run each time a lease may have become possible."""
        self._ready = callback
        if callback is None:
            self._time_newcomers()

    def lease(self, slots: Slots) -> Lease | None:
        """Take the next task that a credential may carry, of a lane that the slots admit."""
        if not self._lanes:
            self._newcomers.clear()
            return None
        now = self._clock.now()
        for lane in slots.order(self._lanes):
            first = self._lanes.peek(lane).task
            permit = self._pools[first.provider].take(first.model, now)
            if permit is not None:
                self._held_back.pop(lane, None)
                return self._start(self._lanes.pop(lane), permit)
            self._hold_back(lane, now)
        if self._newcomers:
            self._time_newcomers()
        return None

    async def publish(self, lease: Lease, deltas: Sequence[Delta]) -> None:
        """Append to the task's log, held back by a slow reader."""
        held = self._leased(lease)
        if held is None:
            raise LeaseLost(lease.task.id)
        if held.first_delta_at is None:
            held.first_delta_at = self._clock.monotonic()
        held.wrote = True
        for delta in deltas:
            lease.seq += 1
            held.log.append(((lease.run, lease.seq), delta))
        if held.log.full:
            await held.log.room()

    async def settle(self, lease: Lease, settlement: Settlement) -> None:
        """End the lease; state and last entry change together."""
        held = self._leased(lease)
        rest = settlement.rest if isinstance(settlement, (Retry, Fail)) else None
        if rest is not None:
            self._rest(lease.task.provider, rest)
        if held is not None:
            self._settle(held, settlement)
        if rest is not None:
            self._call_workers()  # whoever waits for that credential may have to hear that it is not coming

    def _settle(self, held: Held, settlement: Settlement) -> None:
        match settlement:
            case Succeed(finish):
                self._end(held, TaskState.SUCCEEDED, finish)
            case Fail(error):
                self._end(held, TaskState.FAILED, Error(error))
            case Retry():
                self._requeue(held, counted=settlement.counted, delay=settlement.delay)
            case Release():
                self._requeue(held, counted=False, delay=0.0)
            case GiveUp():
                self._end(held, TaskState.CANCELLED, Error(Cancelled("the attempt was given up")))

    # --- one step each

    def _leased(self, lease: Lease) -> Held | None:
        held = self._tasks.get(lease.task.id)
        return held if held is not None and held.lease is lease else None

    def _queue(self, held: Held, *, first: bool = False) -> None:
        held.queued_at = self._clock.monotonic()
        self._lanes.push(held.task.lane, held.task.id, held, first=first)
        self._newcomers.append(held)
        if first:
            self._check_returned(held)
        self._call_workers()

    def _check_returned(self, held: Held) -> None:
        """End a task that comes back too late: for its timeout, or for the credential that its lane waits for."""
        if held.due_at <= held.queued_at:
            self._end(held, TaskState.FAILED, Error(held.too_late()))
        elif held.task.lane in self._held_back:
            self._refuse_impatient((held,))  # it was not there when the others agreed to wait

    def _call_workers(self) -> None:
        if self._ready is not None:
            self._ready()
        else:
            self._time_newcomers()

    def _time_newcomers(self) -> None:
        """Limit the wait of those who could not be leased at once; most can, and need no timer."""
        now = self._clock.monotonic()
        for held in self._newcomers:
            if held.state is TaskState.QUEUED and held.timer is None:
                wait = max(0.0, min(held.patient_until, held.due_at) - now)
                held.timer = self._clock.call_later(wait, functools.partial(self._lose_patience, held))
        self._newcomers.clear()

    def _start(self, held: Held, permit: Permit) -> Lease:
        self._running += 1
        return held.start(permit, self._clock.monotonic())

    def _requeue(self, held: Held, *, counted: bool, delay: float) -> None:
        held.give_back(counted=counted)
        self._running -= 1
        if delay > 0:
            self._delayed += 1
            left = held.due_at - self._clock.monotonic()
            held.timer = self._clock.call_later(max(0.0, min(delay, left)), functools.partial(self._undelay, held))
        else:
            self._queue(held, first=True)

    def _undelay(self, held: Held) -> None:
        held.timer = None
        self._delayed -= 1
        self._queue(held, first=True)

    def _lose_patience(self, held: Held) -> None:
        """End a task that has waited for as long as it may."""
        held.timer = None
        error = held.too_late()
        self._end(held, TaskState.EXPIRED if isinstance(error, Expired) else TaskState.FAILED, Error(error))

    def _end(self, held: Held, state: TaskState, event: Finish | Error) -> None:
        """Let a task be over, wherever it stands. The first end counts."""
        lease, was = held.lease, held.state
        if was is TaskState.QUEUED:
            held.stop_timer()
            if self._lanes.remove(held.task.lane, held.task.id):
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

    # --- credentials

    def _check_opening(self, task: Task, patience: float) -> None:
        """Raise when no credential can carry the task within `patience` seconds."""
        pool = self._pools[task.provider]
        opens_at = pool.opens_at(task.model)
        if opens_at == NEVER:
            raise NoCredentials(pool.refusal(task.model))
        wait = opens_at - self._clock.now()
        if wait > patience:
            raise WaitTooLong(
                f"no credential of {task.provider} can carry {task.request.model} within {patience:g} s: "
                f"the first is free in {wait:.0f} s",
                retry_after=wait,
            )

    def _rest(self, provider: str, rest: Rest) -> None:
        if self._pools[provider].rest(rest):
            log.warning(
                "credential rests",
                provider=provider,
                credential=rest.credential.label,
                model=rest.model,
                seconds=None if rest.until == NEVER else round(rest.until - self._clock.now(), 1),
                reason=rest.reason,
            )

    def _hold_back(self, lane: str, now: float) -> None:
        """Leave a lane waiting for a credential: refuse whom that takes too long, and come back when one is free."""
        first = self._lanes.peek(lane).task
        opens_at = self._pools[first.provider].opens_at(first.model)
        if self._held_back.get(lane) != opens_at:
            self._held_back[lane] = opens_at
            self._refuse_impatient(self._lanes.items(lane))
        if opens_at < self._opens_at and lane in self._lanes:
            if self._opening is not None:
                self._opening.cancel()
            self._opens_at = opens_at
            self._opening = self._clock.call_later(max(0.0, opens_at - now), self._open)

    def _refuse_impatient(self, waiting: Iterable[Held]) -> None:
        for held in waiting:
            waited = held.waited + self._clock.monotonic() - held.queued_at
            try:
                self._check_opening(held.task, max(0.0, held.task.max_wait - waited))
            except SynapseError as refusal:
                self._end(held, TaskState.FAILED, Error(refusal))

    def _open(self) -> None:
        self._opening = None
        self._opens_at = NEVER
        self._call_workers()

"""Random histories of a memory broker, held against a model of what must be true at any moment."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from synapse.brokers.base import Lease, LeaseLost, TaskEnd
from synapse.brokers.memory import MemoryBroker, MemorySubscription
from synapse.domain.errors import NoCredentials, ProviderFailed, QueueFull, SynapseError, WaitTooLong
from synapse.domain.events import Delta, Entry, Error, Event, Finish, FinishReason, Restart
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Quota
from synapse.domain.task import Route, Task, TaskState
from synapse.scheduling.account import NEVER
from synapse.scheduling.settlement import Fail, GiveUp, Release, Retry, Settlement, Succeed
from synapse.scheduling.slots import Slots
from synapse.scheduling.slow_start import ANSWER
from synapse.scheduling.tokens import estimate_input_tokens
from synapse.testing import FakeClock
from synapse.testing.broker_contract import make_task
from synapse.testing.broker_contract.props import PROVIDER, keys

T = TypeVar("T")

MAX_SIZE = 3
SLOTS = 3
FINISH = Finish(FinishReason.STOP)
LANES = st.sampled_from(["a", "b", "c"])
PICK = st.integers(0, 99)
SPARE = (Route("spare", "q", "z"),)
FALLBACKS = st.sampled_from([((), 30.0), ((), 30.0), (SPARE, 30.0), (SPARE, 4.0), (SPARE, 0.0)])
"""Where a task may go, and after what a wait; most have no choice."""
LIMITS = st.sampled_from([(600.0, 3600.0), (600.0, 3600.0), (5.0, 3600.0), (1.0, 3600.0), (0.0, 3600.0), (600.0, 4.0)])
"""`max_wait` and `timeout`, the patient ones more often."""
FAILURES = st.sampled_from([
    *[None] * 6,
    *[Failure(FailureClass.QUOTA_MINUTE, "used up", retry_after=seconds) for seconds in (1.0, 4.0, 64.0)],
    Failure(FailureClass.RATE_LIMITED, "too fast"),
    Failure(FailureClass.CREDENTIAL_DEAD, "not valid"),
    Failure(FailureClass.NOT_IN_TIER, "limit: 0"),
])  # fmt: skip
ENDINGS = st.sampled_from([Succeed(FINISH), Succeed(FINISH), Fail(ProviderFailed("it failed")), GiveUp()])
PAUSES = st.sampled_from([0.0, 0.0, 0.25, 2.0, 8.0])
NOT_WORTH_ASKING = 5.0
"""Seconds of a longer wait that those who wait are not asked about: who cannot wait for so long expires."""


class Tracked:
    """What the model knows of a task."""

    def __init__(self, task: Task, now: float) -> None:
        """Begin with a task in its lane."""
        self.task = task
        self.subscription: MemorySubscription | None = None
        """None until it is accepted, and since it is left."""
        self.entries: list[Entry] = []
        self.ends: list[TaskEnd] = []
        self.lease: Lease | None = None
        self.run = 0
        self.counted = 0
        self.accepted_at = now
        self.waiting_since = now
        self.fallen_to: str | None = None
        """The model code of the fallback it was leased for last."""
        self.delayed = False
        """Whether it waits since a back-off ended, or will end."""
        self.waited = 0.0

    @property
    def over(self) -> bool:
        """Whether the broker told of its end."""
        return bool(self.ends)

    def waits_in_lane(self, now: float) -> bool:
        """Tell whether it may be leased: neither over, nor leased, nor in back-off."""
        return not self.over and self.lease is None and self.waiting_since <= now

    def just_back(self, now: float) -> bool:
        """Tell whether its back-off ends at this very moment: of several that do, one is the first."""
        return self.delayed and self.waiting_since == now

    def overdue(self, now: float) -> bool:
        """Tell whether its limits ought to have ended it by now."""
        if now - self.accepted_at > self.task.timeout:
            return True
        return self.patience(now) < 0

    def patience(self, now: float) -> float:
        """Return the seconds it may still wait."""
        return self.task.max_wait - self.waited - (now - self.waiting_since)


class Histories(RuleBasedStateMachine):
    """Callers that submit, read, cancel and leave; a worker that leases, writes and settles; time that passes."""

    def __init__(self) -> None:
        """Begin with an empty broker."""
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = FakeClock()
        self.ledgers = {
            PROVIDER: keys("x", "y"),
            "q": keys("w", provider="q", quota=Quota(rpm=10_000, concurrency=1)),
        }
        self.broker = MemoryBroker(self.ledgers, clock=self.clock, max_size=MAX_SIZE, on_end=self._note_end)
        self.slots = Slots(SLOTS)
        self.tasks: dict[str, Tracked] = {}
        self.leases: list[Lease] = []
        """Those that are not settled; their tasks may be over."""
        self.old: list[Lease] = []
        self.texts: dict[tuple[str, int], str] = {}
        """What was written, by task and run."""
        self.listening = False
        self.prompt = False
        """Whether the worker does what it was called for at once, or when others have had their turn."""
        self.at_work = False
        self.working: set[asyncio.Task[None]] = set()
        """The worker that is not prompt at work, each time it was called."""

    def do(self, step: Coroutine[object, object, T]) -> T:
        """Run one asynchronous step, and all that it calls the worker to do."""
        return self.runner.run(self._with_work(step))

    async def _with_work(self, step: Coroutine[object, object, T]) -> T:
        try:
            return await step
        finally:
            while self.working:
                await self.working.pop()

    def _note_end(self, end: TaskEnd) -> None:
        self.tasks[end.task.id].ends.append(end)

    @initialize(listening=st.booleans(), prompt=st.booleans(), lanes=st.lists(LANES, min_size=1, max_size=MAX_SIZE))
    def begin(self, lanes: list[str], *, listening: bool, prompt: bool) -> None:
        """With a worker that listens or without, and patient tasks."""
        self.prompt = prompt
        if listening:
            self.start_or_stop_listening()
        for lane in lanes:
            self._submit(make_task(f"t{len(self.tasks)}", lane))

    # --- callers

    @rule(lane=LANES, limits=LIMITS, fallbacks=FALLBACKS)
    def submit(
        self, lane: str, limits: tuple[float, float], fallbacks: tuple[tuple[Route, ...], float] = ((), 30.0)
    ) -> None:
        """Submit a task; it is accepted unless one of three reasons holds."""
        (max_wait, timeout), (routes, fallback_after) = limits, fallbacks
        task = make_task(
            f"t{len(self.tasks)}",
            lane,
            max_wait=max_wait,
            timeout=timeout,
            fallbacks=routes,
            fallback_after=fallback_after,
        )
        self._submit(task)

    def _submit(self, task: Task) -> None:
        expected = self._refusal(task)
        refusal = self.do(self._enqueue(Tracked(task, self.clock.monotonic())))
        if refusal is None:
            assert expected is None, f"{task.id} was accepted in spite of {expected}"
        else:
            self._check_refusal(task, refusal, expected)

    async def _enqueue(self, tracked: Tracked) -> SynapseError | None:
        task = tracked.task
        self.tasks[task.id] = tracked  # a prompt worker takes it before it is accepted
        try:
            await self.broker.enqueue(task)
        except SynapseError as refusal:
            del self.tasks[task.id]
            return refusal
        tracked.subscription = self.broker.subscribe(task.id)
        return None

    def _refusal(self, task: Task) -> type[SynapseError] | None:
        starts_at, _ = self._opening(task)
        if self.broker.stats().waiting >= MAX_SIZE:
            return QueueFull
        if task.fallbacks:
            return None  # it depends
        if starts_at == NEVER:
            return NoCredentials
        return WaitTooLong if task.max_wait < starts_at - self.clock.now() < ANSWER else None

    def _check_refusal(self, task: Task, refusal: SynapseError, expected: type[SynapseError] | None) -> None:
        if expected is not None:
            assert type(refusal) is expected
            return
        if task.fallbacks:
            assert type(refusal) in {NoCredentials, WaitTooLong}
            return
        waiting = [tracked for tracked in self.tasks.values() if tracked.waits_in_lane(self.clock.monotonic())]
        assert type(refusal) is WaitTooLong
        assert any(self._at(tracked).lane == task.lane for tracked in waiting), "nobody was before it"
        assert refusal.retry_after is not None
        assert refusal.retry_after > task.max_wait

    def _opening(self, task: Task) -> tuple[float, float]:
        """Return when a task may go at the soonest, and when it is worth looking."""
        what = task.model, estimate_input_tokens(task.request), task.band, self.clock.now()
        ledger = self.ledgers[task.provider]
        return ledger.starts_at(*what), ledger.opens_at(*what)

    def _at(self, tracked: Tracked) -> Task:
        """Return what a task has become: it may have gone to a fallback while it waited."""
        held = self.broker._tasks.get(tracked.task.id)
        return held.task if held is not None else tracked.task

    @precondition(lambda self: self._readable())
    @rule(pick=PICK)
    def read(self, pick: int) -> None:
        """Drain a log."""
        readable = self._readable()
        self.do(self._drain(readable[pick % len(readable)]))

    def _readable(self) -> list[Tracked]:
        return [tracked for tracked in self.tasks.values() if tracked.subscription is not None]

    async def _drain(self, tracked: Tracked) -> None:
        assert tracked.subscription is not None
        reading = asyncio.ensure_future(tracked.subscription.next(0.0))
        await self.clock.elapse(0.0)
        tracked.entries += await reading

    @precondition(lambda self: self._readable())
    @rule(pick=PICK, how=st.sampled_from(["cancel", "leave"]))
    def want_no_more(self, pick: int, how: str) -> None:
        """Cancel one of the last tasks, over or not, or cease to read it."""
        tracked = self._readable()[-1 - pick % min(3, len(self._readable()))]
        if how == "leave":
            self._leave(tracked)
        else:
            self._cancel(tracked)

    def _cancel(self, tracked: Tracked) -> None:
        was_over = tracked.over
        self.do(self.broker.cancel(tracked.task.id))
        if not was_over:
            self._check_ended(tracked, TaskState.CANCELLED)

    def _leave(self, tracked: Tracked) -> None:
        was_over = tracked.over
        assert tracked.subscription is not None
        self.do(tracked.subscription.__aexit__(None, None, None))
        tracked.subscription = None
        if not was_over:
            self._check_ended(tracked, TaskState.CANCELLED)

    # --- the worker

    @rule()
    def lease(self) -> None:
        """Lease once, listening or not."""
        self.do(self._lease_one())

    async def _lease_one(self) -> None:
        self._lease()

    @rule()
    def start_or_stop_listening(self) -> None:
        """Listen no more, or from now on: then take what there is, as the contract demands of those who listen."""
        self.listening = not self.listening
        self.broker.when_ready(self._work if self.listening else None)
        if self.listening:
            self.do(self._lease_all())

    def _work(self) -> None:
        if self.prompt:
            self._lease_what_may()
        else:
            self.working.add(asyncio.get_running_loop().create_task(self._lease_all()))

    async def _lease_all(self) -> None:
        self._lease_what_may()

    def _lease_what_may(self) -> None:
        if not self.at_work:
            self.at_work = True
            while self._lease():
                pass
            self.at_work = False

    def _lease(self) -> bool:
        lease = self.broker.lease(self.slots)
        now = self.clock.monotonic()
        waiting = [tracked for tracked in self.tasks.values() if tracked.waits_in_lane(now)]
        if lease is None:
            self._check_nothing_to_lease(waiting)
            return False
        self._check_lease(lease, waiting)
        tracked = self.tasks[lease.task.id]
        tracked.lease, tracked.run, tracked.counted = lease, lease.run, lease.attempt
        tracked.fallen_to = lease.task.fallen_to
        tracked.waited += now - tracked.waiting_since
        self.leases.append(lease)
        self.texts[lease.task.id, lease.run] = ""
        self.slots.take(lease.task)
        return True

    def _check_nothing_to_lease(self, waiting: list[Tracked]) -> None:
        """Nobody waits who has a slot and a credential; nobody waits who can never have one."""
        now = self.clock.monotonic()
        admitted = self.slots.order({self._at(tracked).lane for tracked in waiting})
        for tracked in waiting:
            if self._at(tracked).lane in admitted and not tracked.just_back(now):
                self._check_held_up(tracked, now)

    def _check_held_up(self, tracked: Tracked, now: float) -> None:
        task = self._at(tracked)
        starts_at, looked_at = self._opening(task)
        assert looked_at > self.clock.now(), f"{tracked.task.id} was overlooked"
        if starts_at == ANSWER:
            assert any(lease.task.lane == task.lane for lease in self.leases), "it waits for no answer"
        elif tracked.subscription is not None:  # it is accepted
            patience = tracked.patience(now) + NOT_WORTH_ASKING
            assert starts_at - self.clock.now() <= patience, f"{tracked.task.id} waits in vain"

    def _check_lease(self, lease: Lease, waiting: list[Tracked]) -> None:
        tracked = self.tasks[lease.task.id]
        assert tracked in waiting
        counted = tracked.counted if lease.task.fallen_to == tracked.fallen_to else 0
        assert (lease.run, lease.attempt) == (tracked.run + 1, counted + 1)
        assert not tracked.overdue(self.clock.monotonic())
        assert lease.credential is not None
        if tracked.run == 0 and lease.task.fallen_to is None:
            lane = [other for other in waiting if self._at(other).lane == lease.task.lane and other.run == 0]
            assert tracked is lane[0], "out of the order of arrival"

    @precondition(lambda self: self.leases)
    @rule(pick=PICK)
    def publish(self, pick: int) -> None:
        """Write under some leases."""
        for lease in self.leases[pick % len(self.leases) :]:
            self._write(lease, "y")

    def _write(self, lease: Lease, text: str) -> None:
        """Write under a lease; it is refused where the task is over, and only there."""
        tracked = self.tasks[lease.task.id]
        assert self._publish(lease, text) is not tracked.over
        if not tracked.over:
            self.texts[lease.task.id, lease.run] += text

    def _publish(self, lease: Lease, text: str) -> bool:
        try:
            self.do(self.broker.publish(lease, [Delta(text)]))
        except LeaseLost:
            return False
        return True

    @precondition(lambda self: self.leases)
    @rule(
        pick=PICK,
        delay=PAUSES,
        counted=st.booleans(),
        failure=FAILURES,
        stopping=st.booleans(),
        leaving=st.booleans(),
    )
    def put_back(
        self, pick: int, delay: float, failure: Failure | None, *, counted: bool, stopping: bool, leaving: bool
    ) -> None:
        """Put a task back: for a failure that may have taught something of the credential, or because of a stop."""
        lease = self.leases[pick % len(self.leases)]
        if stopping:
            self._settle(lease, Release(), delay=0.0, counted=False)
            return
        leaving = leaving and bool(lease.task.fallbacks)
        retry = Retry(delay, counted=counted, reason="failed", failure=failure, fall_back=leaving)
        self._settle(lease, retry, delay=delay, counted=counted)

    @precondition(lambda self: self.leases)
    @rule(pick=PICK, ending=ENDINGS)
    def end(self, pick: int, ending: Settlement) -> None:
        """End a task."""
        lease = self.leases[pick % len(self.leases)]
        tracked = self.tasks[lease.task.id]
        was_over = tracked.over
        self._settle(lease, ending, delay=0.0, counted=True)
        states = {Succeed: TaskState.SUCCEEDED, Fail: TaskState.FAILED, GiveUp: TaskState.CANCELLED}
        if not was_over:
            self._check_ended(tracked, states[type(ending)])

    def _settle(self, lease: Lease, settlement: Settlement, *, delay: float, counted: bool) -> None:
        tracked = self.tasks[lease.task.id]
        self._write(lease, "z")
        self.leases.remove(lease)
        self.old.append(lease)
        tracked.lease = None
        tracked.waiting_since = self.clock.monotonic() + delay
        tracked.delayed = delay > 0
        tracked.counted -= not counted
        self.slots.give_back(lease.task)
        self.do(self.broker.settle(lease, settlement))
        self.do(self.clock.elapse(0.0))
        if self.listening:
            self.do(self._lease_all())

    @precondition(lambda self: self.old)
    @rule(pick=PICK, ending=st.sampled_from([Succeed(FINISH), Release(), GiveUp()]))
    def haunt(self, pick: int, ending: Settlement) -> None:
        """Write and settle under a lease that is settled; nothing changes."""
        zombie = self.old[-1 - pick % len(self.old)]
        before = self.broker.stats()
        assert not self._publish(zombie, "late")
        self.do(self.broker.settle(zombie, ending))
        assert self.broker.stats() == before

    # --- time

    @rule(seconds=st.sampled_from([0.0, 0.25, 0.25, 1.0, 2.0, 8.0, 64.0]))
    def elapse(self, seconds: float) -> None:
        """Let time pass."""
        self.do(self.clock.elapse(seconds))

    # --- what is true at any moment

    @invariant()
    def the_counts_are_those_of_the_model(self) -> None:
        """Each accepted task is waiting, running or over; what is read is held."""
        alive = [tracked for tracked in self.tasks.values() if not tracked.over]
        running = sum(tracked.lease is not None for tracked in alive)
        stats = self.broker.stats()
        assert (stats.waiting, stats.running) == (len(alive) - running, running)
        assert stats.held == len(self._readable())

    @invariant()
    def no_task_is_told_to_have_ended_twice(self) -> None:
        """One message for each end, none before it."""
        assert all(len(tracked.ends) <= 1 for tracked in self.tasks.values())

    @invariant()
    def no_task_waits_beyond_its_limits(self) -> None:
        """What waits has time left; also what waits where nobody listens."""
        now = self.clock.monotonic()
        late = [t.task.id for t in self.tasks.values() if not t.over and t.lease is None and t.overdue(now)]
        assert not late

    @invariant()
    def whoever_listens_was_called(self) -> None:
        """A listening worker has taken all that it may."""
        if self.listening:
            now = self.clock.monotonic()
            self._check_nothing_to_lease([t for t in self.tasks.values() if t.waits_in_lane(now)])

    @invariant()
    def leases_of_ended_tasks_are_revoked(self) -> None:
        """And no others are."""
        assert all(lease.revoked == self.tasks[lease.task.id].over for lease in self.leases)

    def _check_ended(self, tracked: Tracked, state: TaskState) -> None:
        (end,) = tracked.ends
        assert end.state == state
        assert end.attempts == (tracked.counted if end.task.fallen_to == tracked.fallen_to else 0)

    # --- the end

    def teardown(self) -> None:
        """Read all logs to their ends, leave, and find nothing left behind."""
        with self.runner:
            for tracked in self._readable():
                self.do(self._drain(tracked))
                self._check_log(tracked)
                self._leave(tracked)
            self._check_empty()

    def _check_empty(self) -> None:
        stats = self.broker.stats()
        assert (stats.waiting, stats.running, stats.held) == (0, 0, 0)
        assert all(len(tracked.ends) == 1 for tracked in self.tasks.values())
        self.broker.when_ready(None)
        assert self.clock.timers <= 1, "more is left than the timer of the next opening"

    def _check_log(self, tracked: Tracked) -> None:
        ids = [event_id for event_id, _ in tracked.entries]
        assert all(a < b for a, b in itertools.pairwise(ids)), f"ids out of order: {ids}"
        events = [event for _, event in tracked.entries]
        last = [isinstance(event, (Finish, Error)) for event in events]
        assert not any(last[:-1])
        assert any(last[-1:]) is tracked.over
        if tracked.over and tracked.ends[0].state is TaskState.SUCCEEDED:
            assert _text(events) == self.texts[tracked.task.id, tracked.run]
            assert events[-1] == Finish(FinishReason.STOP, fallen_to=tracked.fallen_to)


def _text(events: list[Event]) -> str:
    """Put together what is valid in the end."""
    text = ""
    for event in events:
        match event:
            case Delta(piece):
                text += piece
            case Restart():
                text = ""
    return text


TestHistories = Histories.TestCase
TestHistories.settings = settings(deadline=None, max_examples=250, stateful_step_count=50)

"""What the memory broker holds of one task."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from synapse.brokers.base import Lease, TaskEnd
from synapse.domain.errors import Expired
from synapse.domain.events import Error, Finish, Restart
from synapse.domain.task import Task, TaskState
from synapse.scheduling.policy import overdue
from synapse.scheduling.tokens import estimate_input_tokens

if TYPE_CHECKING:
    from synapse.brokers.log import EventLog
    from synapse.domain.clock import Timer
    from synapse.domain.errors import SynapseError
    from synapse.scheduling.ledger import Permit


class Held:
    """A task and all that changes about it. Instants are of the monotonic clock."""

    __slots__ = (
        "accepted_at",
        "attempts",
        "delayed_until",
        "falls_back_at",
        "first_delta_at",
        "lease",
        "log",
        "queued_at",
        "run",
        "seq",
        "state",
        "task",
        "timer",
        "tokens",
        "waited",
        "wrote",
    )

    def __init__(self, task: Task, log: EventLog, now: float) -> None:
        """Begin in the lane."""
        self.task = task
        self.tokens = estimate_input_tokens(task.request)
        self.state = TaskState.QUEUED
        self.log = log
        self.run = 0
        """Leases so far."""
        self.seq = 0
        """While it waits: the number of the last entry that its last lease wrote."""
        self.attempts = 0
        """Those of them that count."""
        self.lease: Lease | None = None
        self.accepted_at = now
        self.queued_at = now
        """Since when it waits in its lane."""
        self.waited = 0.0
        """Seconds of earlier waits."""
        self.first_delta_at: float | None = None
        self.wrote = False
        """Whether the log has deltas that a further attempt would make void."""
        self.timer: Timer | None = None
        """While it waits: for the end of its patience, or of its back-off."""
        self.delayed_until: float | None = None
        """The end of its back-off, while it is in none of the lanes."""
        self.falls_back_at = now + task.fallback_after if task.fallbacks else math.inf
        """When its wait for the first choice is too long."""

    @property
    def due_at(self) -> float:
        """When its timeout ends."""
        return self.accepted_at + self.task.timeout

    @property
    def patient_until(self) -> float:
        """When it will have waited for as long as it may, if it goes on waiting."""
        return self.queued_at + self.task.max_wait - self.waited

    def too_late(self) -> SynapseError:
        """Say why a task whose wait is over has ended: its timeout or its patience, whichever was first."""
        if self.due_at <= self.patient_until:
            return overdue(self.task.timeout).error
        waited = f"the task waited {self.task.max_wait:g} s, its max_wait, without a free slot and credential"
        return Expired(f"{waited}; let it wait longer, or add credentials")

    def stop_timer(self) -> None:
        """Wait for nothing any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def start(self, permit: Permit, now: float) -> Lease:
        """Leave the lane for an attempt. What an earlier one wrote is void from here on."""
        self.stop_timer()
        self.waited += now - self.queued_at
        self.state = TaskState.RUNNING
        self.run += 1
        self.attempts += 1
        self.lease = Lease(
            self.task, run=self.run, attempt=self.attempts, permit=permit, started_at=now, remaining=self.due_at - now
        )
        if self.wrote:
            self.wrote = False
            self.log.append(((self.run, 0), Restart("the attempt before this one failed")))
        return self.lease

    def give_back(self, *, counted: bool) -> None:
        """Come back from an attempt that did not settle the task."""
        self.state = TaskState.QUEUED
        self.seq = self.lease.seq if self.lease is not None else 0
        self.lease = None
        if not counted:
            self.attempts -= 1

    def fall_back(self) -> None:
        """Go to the first of the fallbacks, with attempts of its own."""
        route, *rest = self.task.fallbacks
        self.task = msgspec.structs.replace(
            self.task, provider=route.provider, model=route.model, fallbacks=tuple(rest), fallen_to=route.code
        )
        self.attempts = 0

    def end(self, state: TaskState, event: Finish | Error) -> None:
        """Be over: the state and the last entry of the log change together."""
        last = self.lease.seq if self.lease is not None else self.seq
        self.state = state
        self.lease = None
        self.log.append(((self.run, last + 1), event))

    def summary(self, event: Finish | Error, now: float) -> TaskEnd:
        """Tell what there is to tell of the task, now that it is over."""
        usage = event.usage if isinstance(event, Finish) else None
        return TaskEnd(
            task=self.task,
            state=self.state,
            attempts=self.attempts,
            queued=self.waited,
            first_token=self.first_delta_at - self.accepted_at if self.first_delta_at is not None else None,
            total=now - self.accepted_at,
            input_tokens=usage.input_tokens if usage is not None else None,
            output_tokens=usage.output_tokens if usage is not None else None,
            error=event.error if isinstance(event, Error) else None,
            cost=usage.cost if usage is not None else None,
        )

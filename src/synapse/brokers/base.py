"""The contract between those who submit tasks, those who run them, and those who read what came of them.

One broker has all three sides. The memory broker joins them in one process; others may join many. Each implementation
passes `synapse.testing.broker_contract`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

import msgspec

from synapse.domain.task import Task, TaskState
from synapse.scheduling.ledger import Permit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from synapse.domain.credential import Credential
    from synapse.domain.errors import SynapseError
    from synapse.domain.events import Content, Entry
    from synapse.domain.quota import Headroom
    from synapse.scheduling.settlement import Settlement
    from synapse.scheduling.slots import Slots


class LeaseLost(Exception):
    """The lease's task is no longer this worker's to write to: stop the attempt."""


class Lease:
    """A worker's right to attempt a task. Ends with `Broker.settle`, whatever happens."""

    __slots__ = ("_revoke", "attempt", "permit", "remaining", "revoked", "run", "seq", "settled", "started_at", "task")

    def __init__(
        self, task: Task, *, run: int, attempt: int, permit: Permit, started_at: float, remaining: float
    ) -> None:
        """Take the task and what this lease may use for it."""
        self.task = task
        self.run = run
        """The fence: grows with each lease of the task. An entry of an older run is refused."""
        self.attempt = attempt
        """The attempt's number, from 1. Grows only with attempts that count."""
        self.permit = permit
        self.started_at = started_at
        """Of the monotonic clock."""
        self.remaining = remaining
        """Seconds left of the task's `timeout` when the lease was given."""
        self.seq = 0
        """The number of the last entry written under this lease."""
        self.settled = False
        """Whether its permit is given back, which is done once, whatever has become of the task."""
        self.revoked = False
        self._revoke: Callable[[], object] | None = None

    @property
    def credential(self) -> Credential | None:
        """The key to send with; None where the provider wants none."""
        return self.permit.credential

    def when_revoked(self, callback: Callable[[], object]) -> None:
        """Have a callback run when the task is taken away, because it was cancelled or its caller went."""
        self._revoke = callback
        if self.revoked:
            callback()

    def revoke(self) -> None:
        """Take the task away; the attempt is to stop at once. For brokers."""
        self.revoked = True
        if self._revoke is not None:
            self._revoke()


class Subscription(Protocol):
    """One reader of a task's log."""

    async def next(self, patience: float) -> Sequence[Entry]:
        """Return all entries that have come since the last call, waiting for one if need be.

        Returns an empty sequence when `patience` seconds passed without any. The last entry of a log is a `Finish` or
        an `Error`; there is nothing to wait for after it.
        """

    async def __aenter__(self) -> Self:
        """Begin to read."""

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop reading. An attached task whose log has not ended is cancelled."""


class TaskEnd(msgspec.Struct, frozen=True, gc=False):
    """What there is to tell of a task when it is over. Durations are seconds; None for what did not happen."""

    task: Task
    state: TaskState
    attempts: int
    queued: float
    """In its lane, all waits together."""
    first_token: float | None
    """From acceptance to the first delta."""
    total: float
    """From acceptance to the end."""
    input_tokens: int | None
    output_tokens: int | None
    error: SynapseError | None
    cost: float | None = None
    """US dollars, where the price is known."""


class Place(msgspec.Struct, frozen=True):
    """Where a waiting task stands."""

    position: int
    """In its lane: 1 goes next."""
    eta: float | None
    """Seconds until it is likely to start, where that can be foreseen."""


class BrokerStats(msgspec.Struct, frozen=True):
    """How many tasks stand where."""

    waiting: int
    """In lanes, and between two attempts."""
    running: int
    held: int
    """Of which anything is kept in memory, ended ones that are still read included."""


class OnChange(Protocol):
    """Is told that a ledger has changed."""

    def __call__(self, *, urgent: bool) -> object:
        """Keep that, at once where it must not be lost."""


def nobody(*, urgent: bool) -> None:
    """Keep nothing."""
    del urgent


class Broker(Protocol):
    """Where tasks wait, who holds them, and the log of what happened to each."""

    async def enqueue(self, task: Task) -> None:
        """Accept a task into its lane.

        Raises `QueueFull`, `NoCredentials` when no key can ever carry it, and `WaitTooLong` when it is known already
        that none can within the task's `max_wait`.
        """

    def subscribe(self, task_id: str) -> Subscription:
        """Read the log of an attached task, from its beginning. Each task has one reader."""

    def place(self, task_id: str) -> Place | None:
        """Say where a task stands; None when it does not wait."""

    async def cancel(self, task_id: str) -> None:
        """End a task, waiting or running. Harmless when it is over."""

    def when_ready(self, callback: Callable[[], object] | None) -> None:
        """Have a callback run each time that `lease` may have something that it had not before. For workers.

        Whoever asks for that calls `lease` then, until there is nothing to lease. None ends it.
        """

    def lease(self, slots: Slots) -> Lease | None:
        """Take the next task that a credential may carry, of a lane that the slots admit; None when there is none.

        Answers at once with what is at hand. A broker that must ask elsewhere does so meanwhile, and calls its workers
        when it has something.
        """

    async def publish(self, lease: Lease, content: Sequence[Content]) -> None:
        """Append to the task's log; returns at once, unless its reader is far behind: then when it has caught up.

        Raises `LeaseLost`.
        """

    def hear(self, lease: Lease, headroom: Sequence[Headroom]) -> None:
        """Take that the provider answers, and what it said of its limits beside the answer; there may be nothing."""

    async def settle(self, lease: Lease, settlement: Settlement) -> None:
        """End the lease. State and last entry of the log change together. Harmless when the lease was lost."""

    def stats(self) -> BrokerStats:
        """Say how many tasks stand where."""

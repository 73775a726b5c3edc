"""What every scenario stands on: a broker, somebody who submits and reads, and somebody who leases."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from synapse.brokers.base import Broker, Lease, Subscription, TaskEnd
from synapse.domain.clock import Clock
from synapse.domain.credential import Credential
from synapse.domain.errors import SynapseError
from synapse.domain.events import Delta, Entry, Error, Finish, FinishReason
from synapse.domain.quota import Quota
from synapse.domain.request import prompt_request
from synapse.domain.task import Task, TaskState
from synapse.domain.usage import Usage
from synapse.scheduling.ledger import Ledger, Terms
from synapse.scheduling.settlement import Settlement, Succeed
from synapse.scheduling.slots import Slots

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

PROVIDER = "p"
MODEL = "m"
FINISH = Finish(FinishReason.STOP, Usage(3, 5, total_tokens=8))
PLENTY = Quota(rpm=10_000)
"""A limit that no scenario reaches; known, so that nobody starts slowly to find it."""
_PROMPTLY = 5.0
"""Real seconds within which everything happens that is not waited for on the setting's clock."""


class Setting(msgspec.Struct, frozen=True):
    """A broker, and the world around it."""

    broker: Broker
    clock: Clock
    """The broker's clock. It stands still but for `elapse`."""
    elapse: Callable[[float], Awaitable[None]]
    """Let seconds pass; what they set off has happened when it returns."""
    ends: list[TaskEnd]
    """What the broker told of ended tasks."""


class OpenSetting(Protocol):
    """Opens an empty broker with these ledgers of providers, for so many waiting tasks."""

    def __call__(self, ledgers: Mapping[str, Ledger], *, max_size: int) -> AbstractAsyncContextManager[Setting]:
        """Open it for the length of a block."""


Scenario = Callable[[OpenSetting], Awaitable[None]]


def make_task(
    task_id: str,
    model: str = MODEL,
    *,
    max_wait: float = 600.0,
    timeout: float = 3600.0,
    stream: bool = False,
    created_at: float = 0.0,
) -> Task:
    """Make a task for the provider `p`; its lane and the provider's model have one name."""
    request = prompt_request(model, f"prompt of {task_id}", stream=stream)
    return Task(task_id, request, PROVIDER, model, created_at, max_wait, timeout)


def keys(*names: str, quota: Quota = PLENTY) -> Ledger:
    """Make the ledger of provider `p`, with keys that are projects of their own; without names it wants no key."""
    credentials = [Credential(name, f"key-of-{name}") for name in names]
    terms = Terms(PROVIDER, ZoneInfo("UTC"), variables=("P_API_KEYS",) if names else (), quota=quota)
    return Ledger(terms, credentials)


async def promptly(awaitable: Awaitable[T], what: str) -> T:
    """Await what needs no time to pass. Raises AssertionError when it does not come."""
    try:
        async with asyncio.timeout(_PROMPTLY):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"{what} did not happen") from None


async def refused(kind: type[E], awaitable: Awaitable[object]) -> E:
    """Await what must raise; return the exception."""
    try:
        await promptly(awaitable, f"the refusal with {kind.__name__}")
    except kind as exc:
        return exc
    raise AssertionError(f"{kind.__name__} was not raised")


def deltas(*texts: str) -> list[Delta]:
    """Make a delta of each text."""
    return [Delta(text) for text in texts]


class Reader:
    """A caller that follows its task, and all it has read."""

    def __init__(self, task: Task, subscription: Subscription) -> None:
        """Take the task and its subscription, which is entered already."""
        self.task = task
        self.entries: list[Entry] = []
        self._subscription = subscription
        self._open = True

    async def read(self) -> Sequence[Entry]:
        """Read what has come, or what comes next; it must come without any passing of time."""
        entries = await promptly(self._subscription.next(3600.0), f"an entry of {self.task.id}")
        self.entries += entries
        return entries

    async def wait(self, patience: float) -> Sequence[Entry]:
        """Read, with some patience in seconds of the setting's clock."""
        entries = await self._subscription.next(patience)
        self.entries += entries
        return entries

    async def read_to_the_end(self) -> list[Entry]:
        """Read until the log has ended; return all there was, from the beginning."""
        while not self.ended:
            await self.read()
        return self.entries

    async def error(self) -> SynapseError:
        """Read until the log has ended; return the error it ends with."""
        last = (await self.read_to_the_end())[-1][1]
        assert isinstance(last, Error), f"{self.task.id} ended with {last}, not with an error"
        return last.error

    @property
    def ended(self) -> bool:
        """Whether the last entry has been read."""
        return bool(self.entries) and isinstance(self.entries[-1][1], (Finish, Error))

    async def leave(self) -> None:
        """Stop reading."""
        if self._open:
            self._open = False
            await self._subscription.__aexit__(None, None, None)


class Stage:
    """A setting with shorthands. Knows all that was submitted, so that its end can be checked."""

    def __init__(self, setting: Setting, slots: Slots) -> None:
        """Take the setting, and the slots of the one worker there is."""
        self.broker = setting.broker
        self.clock = setting.clock
        self.elapse = setting.elapse
        self.ends = setting.ends
        self.slots = slots
        self.readers: list[Reader] = []
        self.revocations: dict[Lease, asyncio.Event] = {}
        self._numbers = itertools.count(1)

    async def submit(
        self,
        model: str = MODEL,
        *,
        max_wait: float = 600.0,
        timeout: float = 3600.0,  # noqa: ASYNC109 - the task's, not this call's
        stream: bool = False,
    ) -> Reader:
        """Submit a task and begin to read it."""
        task_id = f"t{next(self._numbers)}"
        now = self.clock.now()
        task = make_task(task_id, model, max_wait=max_wait, timeout=timeout, stream=stream, created_at=now)
        await self.broker.enqueue(task)
        subscription = self.broker.subscribe(task_id)
        await subscription.__aenter__()
        self.readers.append(Reader(task, subscription))
        return self.readers[-1]

    async def lease(self) -> Lease:
        """Lease as a worker does: now, or when the broker says that it may be worth while."""
        return await promptly(self._lease(), "a lease")

    async def _lease(self) -> Lease:
        lease = self.broker.lease(self.slots)
        if lease is None:
            lease = await self._lease_when_ready()
        self.slots.take(lease.task)
        revoked = self.revocations[lease] = asyncio.Event()
        lease.when_revoked(revoked.set)
        return lease

    async def _lease_when_ready(self) -> Lease:
        ready = asyncio.Event()
        self.broker.when_ready(ready.set)
        try:
            while (lease := self.broker.lease(self.slots)) is None:
                await ready.wait()
                ready.clear()
        finally:
            self.broker.when_ready(None)
        return lease

    async def lease_nothing(self) -> None:
        """Check that there is nothing to lease."""
        lease = self.broker.lease(self.slots)
        assert lease is None, f"{lease.task.id if lease else ''} was leased before it may be"

    async def revoked(self, lease: Lease) -> None:
        """Wait until the lease is revoked."""
        await promptly(self.revocations[lease].wait(), f"the revocation of {lease.task.id}")
        assert lease.revoked

    async def publish(self, lease: Lease, *texts: str) -> None:
        """Publish deltas, which the reader's pace must allow."""
        await promptly(self.broker.publish(lease, deltas(*texts)), "publishing")

    async def settle(self, lease: Lease, settlement: Settlement) -> None:
        """Settle, and have the slot again."""
        await promptly(self.broker.settle(lease, settlement), "settling")
        self.slots.give_back(lease.task)

    async def succeed(self, lease: Lease, *texts: str) -> None:
        """Publish an answer and end it."""
        if texts:
            await self.publish(lease, *texts)
        await self.settle(lease, Succeed(FINISH))

    def end_of(self, reader: Reader) -> TaskEnd:
        """Return what was told of a task's end; there must be one such message."""
        ends = [end for end in self.ends if end.task.id == reader.task.id]
        assert len(ends) == 1, f"{reader.task.id} was said to have ended {len(ends)} times"
        return ends[0]

    def check_over(self) -> None:
        """Check that each task has ended once and that nothing of any is kept."""
        for reader in self.readers:
            assert self.end_of(reader).state not in {TaskState.QUEUED, TaskState.RUNNING}
            ids = [event_id for event_id, _ in reader.entries]
            assert all(a < b for a, b in itertools.pairwise(ids)), f"entries of {reader.task.id} out of order: {ids}"
            ends = [event for _, event in reader.entries if isinstance(event, (Finish, Error))]
            assert len(ends) <= 1, f"{reader.task.id} has {len(ends)} last entries"
        assert len(self.ends) == len(self.readers), "a task ended that was never accepted"
        stats = self.broker.stats()
        assert (stats.waiting, stats.running, stats.held) == (0, 0, 0), f"left behind: {stats}"


@asynccontextmanager
async def staged(
    open_setting: OpenSetting, ledger: Ledger | None = None, *, max_size: int = 1000, slots: int = 1000
) -> AsyncIterator[Stage]:
    """Open a stage; at the end of the block, when all readers have left, check that nothing is left behind."""
    ledgers = {PROVIDER: ledger if ledger is not None else keys()}
    async with open_setting(ledgers, max_size=max_size) as setting, AsyncExitStack() as leaving:
        stage = Stage(setting, Slots(slots))
        yield stage
        for reader in stage.readers:
            leaving.push_async_callback(reader.leave)
        await leaving.aclose()
        stage.check_over()

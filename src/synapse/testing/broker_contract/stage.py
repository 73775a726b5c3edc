"""What every scenario stands on: a broker, somebody who submits and reads, and somebody who leases."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import msgspec

from synapse.brokers.base import Broker, Lease, TaskEnd
from synapse.domain.caller import ANONYMOUS, Band, Caller
from synapse.domain.clock import Clock
from synapse.domain.events import Error, Finish
from synapse.domain.task import Route, TaskState
from synapse.scheduling.ledger import Ledger
from synapse.scheduling.settlement import Settlement, Succeed
from synapse.scheduling.slots import Slots
from synapse.testing.broker_contract.props import FINISH, MODEL, PROVIDER, deltas, keys, make_task
from synapse.testing.broker_contract.reader import Reader, promptly

_BEFORE = 0.25
"""Seconds before an instant at which it is looked whether what belongs there has happened too soon."""


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
        caller: Caller = ANONYMOUS,
        band: Band = Band.INTERACTIVE,
        fallbacks: tuple[Route, ...] = (),
        fallback_after: float = 30.0,
        words: int | None = None,
        provider: str = PROVIDER,
    ) -> Reader:
        """Submit a task and begin to read it; what it may be is what `make_task` makes of it."""
        task = make_task(
            f"t{next(self._numbers)}",
            model,
            max_wait=max_wait,
            timeout=timeout,
            stream=stream,
            created_at=self.clock.now(),
            caller=caller,
            band=band,
            fallbacks=fallbacks,
            fallback_after=fallback_after,
            words=words,
            provider=provider,
        )
        await self.broker.enqueue(task)
        subscription = self.broker.subscribe(task.id)
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

    async def lease_just(self, count: int) -> list[Lease]:
        """Lease so many, and check that there are no more."""
        leases = [await self.lease() for _ in range(count)]
        await self.lease_nothing()
        return leases

    async def lease_after(self, seconds: float) -> Lease:
        """Check that a waiting worker has nothing until so many seconds have passed, and then has a lease."""
        leasing = asyncio.ensure_future(self.lease())
        await self.elapse(seconds - _BEFORE)
        assert not leasing.done(), f"{leasing.result().task.id} was leased before its time"
        await self.elapse(_BEFORE)
        return await promptly(leasing, f"a lease after {seconds:g} s")

    def listen(self) -> list[Lease]:
        """Lease all that may go, now and each time that the broker calls; return where the leases are gathered."""
        leases: list[Lease] = []
        at_work = False

        def work() -> None:
            nonlocal at_work
            if not at_work:
                at_work = True
                while (lease := self.broker.lease(self.slots)) is not None:
                    self.slots.take(lease.task)
                    leases.append(lease)
                at_work = False

        self.broker.when_ready(work)
        work()
        return leases

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
    open_setting: OpenSetting, *ledgers: Ledger, max_size: int = 1000, slots: int = 1000
) -> AsyncIterator[Stage]:
    """Open a stage; at the end of the block, when all readers have left, check that nothing is left behind.

    Without ledgers, there is one of a provider that wants no key.
    """
    by_provider = {ledger.terms.provider: ledger for ledger in ledgers or (keys(),)}
    async with open_setting(by_provider, max_size=max_size) as setting, AsyncExitStack() as leaving:
        stage = Stage(setting, Slots(slots))
        yield stage
        for reader in stage.readers:
            leaving.push_async_callback(reader.leave)
        await leaving.aclose()
        stage.check_over()

"""A worker: takes what it has slots for, and runs it."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import structlog

from synapse.scheduling.lanes import Slots
from synapse.worker.attempt import Answerer, Attempt, AttemptRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.brokers.base import Broker, Lease

log = structlog.get_logger("synapse.worker")


class Worker:
    """Runs up to `slots` attempts at once, each a task of the event loop that the worker owns."""

    def __init__(self, broker: Broker, answerers: Mapping[str, Answerer], rules: AttemptRules, *, slots: int) -> None:
        """Take the broker to serve, the providers by name, the rules, and the number of slots."""
        self._broker = broker
        self._answerers = answerers
        self._rules = rules
        self.slots = Slots(slots)
        self._running: set[asyncio.Task[None]] = set()
        self._wakeup: asyncio.Future[None] | None = None
        self._awake = True

    async def run(self) -> None:
        """Serve until cancelled; then hand back what still runs."""
        self._broker.when_ready(self._wake)
        try:
            while True:
                await self._start_what_may()
                await self._sleep()
        finally:
            await self._stop_running()

    async def _start_what_may(self) -> None:
        self._awake = False
        while (lease := await self._broker.lease(self.slots)) is not None:
            self._start(lease)

    def _start(self, lease: Lease) -> None:
        self.slots.take(lease.task.lane)
        attempt = Attempt(lease, self._answerers[lease.task.provider], self._broker, self._rules)
        running = asyncio.get_running_loop().create_task(attempt.run())
        self._running.add(running)
        lease.when_revoked(running.cancel)
        running.add_done_callback(functools.partial(self._ended, lease))

    def _ended(self, lease: Lease, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        full = self.slots.taken >= self.slots.total
        self.slots.give_back(lease.task.lane)
        if full:  # otherwise nobody waits for a slot
            self._wake()
        if not running.cancelled() and (exc := running.exception()) is not None:
            log.error("attempt failed by a fault of Synapse", task=lease.task.id, exc_info=exc)

    def _wake(self) -> None:
        self._awake = True
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def _sleep(self) -> None:
        """Wait until somebody wakes the worker, unless that has happened since it last looked."""
        if not self._awake:
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup

    async def _stop_running(self) -> None:
        self._broker.when_ready(None)
        await asyncio.sleep(0)  # one that is cancelled before its first step could not hand its lease back
        running = list(self._running)
        for attempt in running:
            attempt.cancel()
        await asyncio.gather(*running, return_exceptions=True)

"""A worker: takes what it has slots for, and runs it."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING

import structlog

from synapse.scheduling.slots import Slots
from synapse.worker.attempt import Attempt, AttemptRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from synapse.brokers.base import Broker, Lease
    from synapse.providers.base import Provider

log = structlog.get_logger("synapse.worker")


class Worker:
    """Runs up to `slots` attempts at once, each a task of the event loop that the worker owns."""

    def __init__(self, broker: Broker, providers: Mapping[str, Provider], rules: AttemptRules, *, slots: int) -> None:
        """Take the broker to serve, the providers by name, the rules, and the number of slots."""
        self._broker = broker
        self._providers = providers
        self._rules = rules
        self.slots = Slots(slots)
        self._running: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        """While it serves."""
        self._starting = False

    async def run(self) -> None:
        """Serve until cancelled; then hand back what still runs."""
        self._loop = asyncio.get_running_loop()
        self._broker.when_ready(self._start_what_may)
        self._start_what_may()
        try:
            await self._loop.create_future()
        finally:
            await self._stop()

    def _start_what_may(self) -> None:
        """Start what a slot and a credential are free for; called whenever that may have changed."""
        if self._loop is None or self._starting:
            return
        self._starting = True
        try:
            while (lease := self._broker.lease(self.slots)) is not None:
                self._start(lease, self._loop)
        finally:
            self._starting = False

    def _start(self, lease: Lease, loop: asyncio.AbstractEventLoop) -> None:
        self.slots.take(lease.task)
        attempt = Attempt(lease, self._providers[lease.task.provider], self._broker, self._rules)
        running = loop.create_task(attempt.run())
        self._running.add(running)
        lease.when_revoked(running.cancel)
        running.add_done_callback(functools.partial(self._ended, lease))

    def _ended(self, lease: Lease, running: asyncio.Task[None]) -> None:
        self._running.discard(running)
        self.slots.give_back(lease.task)
        self._start_what_may()
        if not running.cancelled() and (exc := running.exception()) is not None:
            log.error("attempt failed by a fault of Synapse", task=lease.task.id, exc_info=exc)

    async def _stop(self) -> None:
        self._loop = None
        self._broker.when_ready(None)
        # An attempt that is cancelled before its first step could not hand its lease back.
        await asyncio.sleep(0)
        running = list(self._running)
        for attempt in running:
            attempt.cancel()
        await asyncio.gather(*running, return_exceptions=True)

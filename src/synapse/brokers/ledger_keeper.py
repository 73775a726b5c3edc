"""Writes what the ledgers come to know to the store, soon and seldom."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from synapse.brokers.database import StoreError
from synapse.brokers.store import Ledgers

if TYPE_CHECKING:
    from collections.abc import Callable

    from synapse.brokers.store import Store
    from synapse.domain.clock import Clock, Timer

log = structlog.get_logger("synapse")

INTERVAL = 1.0
"""Seconds for which changes gather before they are written; a crash takes at most these."""


class LedgerKeeper:
    """Saves changes while `run` runs. A store that fails costs nothing but its memory: all is kept and tried again."""

    def __init__(self, store: Store, collect: Callable[[], Ledgers], clock: Clock) -> None:
        """Take the store, and what returns all that has changed since it was last called."""
        self._store = store
        self._collect = collect
        self._clock = clock
        self._due = asyncio.Event()
        self._timer: Timer | None = None
        self._unsaved = Ledgers()
        """What was collected and may not be in the store."""
        self._failing = False

    def changed(self, *, now: bool = False) -> None:
        """Have what changed written within the interval, or at once. Cheap; call it on the event loop."""
        if now:
            self._write_now()
        elif self._timer is None:
            self._timer = self._clock.call_later(INTERVAL, self._write_now)

    def _write_now(self) -> None:
        self._disarm()
        self._due.set()

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def run(self) -> None:
        """Write until cancelled, and then what is left."""
        try:
            while True:
                await self._due.wait()
                self._due.clear()
                await self._write()
        finally:
            await self._write()
            self._disarm()

    async def _write(self) -> None:
        self._unsaved = self._unsaved.then(self._collect())
        if not self._unsaved:
            return
        try:
            # Cancelled, it stays unsaved and is written again: that is the same, and comes after this.
            await self._store.save(self._unsaved)
        except StoreError as error:
            self._failed(error)
        else:
            self._unsaved = Ledgers()
            self._succeeded()

    def _failed(self, error: StoreError) -> None:
        if not self._failing:
            log.error("the use of keys is not saved", reason=str(error))
        self._failing = True
        self.changed()

    def _succeeded(self) -> None:
        if self._failing:
            log.info("the use of keys is saved again")
        self._failing = False

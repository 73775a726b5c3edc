"""Ledgers that remember: put right at the start from what the store has kept, and written to it as they change."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import structlog

from synapse.brokers.base import OnChange, nobody
from synapse.brokers.database import StoreError
from synapse.brokers.ledger_keeper import LedgerKeeper
from synapse.brokers.records import Records, restore
from synapse.brokers.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from synapse.domain.clock import Clock
    from synapse.scheduling.ledger import Ledger

log = structlog.get_logger("synapse")


@contextlib.asynccontextmanager
async def remembering(ledgers: Mapping[str, Ledger], path: Path | None, clock: Clock) -> AsyncGenerator[OnChange, None]:
    """Keep ledgers in the store while the block runs; yields what is to be called when one has changed.

    Without a path, or with one that cannot be used, which is logged, nothing is kept.
    """
    store = await _open(ledgers, path, clock)
    if store is None:
        yield nobody
        return
    records = Records(ledgers)
    records.collect()  # what came out of the store need not go in again
    keeper = LedgerKeeper(store, records.collect, clock)
    keeping = asyncio.get_running_loop().create_task(keeper.run())
    keeping.add_done_callback(_tell_fault)
    # A keeper that is cancelled before its first step would not write what is left.
    await asyncio.sleep(0)
    try:
        yield lambda *, urgent: keeper.changed(now=urgent)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await store.close()


async def _open(ledgers: Mapping[str, Ledger], path: Path | None, clock: Clock) -> Store | None:
    if path is None:
        return None
    store = None
    try:
        store = Store.open(path)
        restore(ledgers, store.load(clock.now()), clock.now())
    except StoreError as error:
        log.error(  # noqa: TRY400 - its message is all there is to say
            "the use of keys will be forgotten at the next start", reason=str(error)
        )
        if store is not None:
            await store.close()
        return None
    return store


def _tell_fault(keeping: asyncio.Task[None]) -> None:
    if not keeping.cancelled() and (fault := keeping.exception()) is not None:
        log.error("the use of keys is no longer saved, by a fault of Synapse", exc_info=fault)

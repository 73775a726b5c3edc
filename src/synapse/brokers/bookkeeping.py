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
    store = _open(ledgers, path, clock)
    if store is None:
        yield nobody
        return
    records = Records(ledgers)
    records.collect()  # what came out of the store need not go in again
    keeper = LedgerKeeper(store, records.collect, clock)
    keeping = asyncio.get_running_loop().create_task(keeper.run())
    try:
        yield lambda *, urgent: keeper.changed(now=urgent)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await store.close()


def _open(ledgers: Mapping[str, Ledger], path: Path | None, clock: Clock) -> Store | None:
    if path is None:
        return None
    try:
        store = Store.open(path)
        restore(ledgers, store.load(clock.now()), clock.now())
    except StoreError as error:
        log.error(  # noqa: TRY400 - its message is all there is to say
            "the use of keys will be forgotten at the next start", reason=str(error)
        )
        return None
    return store

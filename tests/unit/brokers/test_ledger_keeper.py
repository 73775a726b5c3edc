"""The keeper of the ledgers: what changes gets into the store soon, seldom, and in the end."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from synapse.brokers.database import Database
from synapse.brokers.ledger_keeper import INTERVAL, LedgerKeeper
from synapse.brokers.schema import MIGRATIONS
from synapse.brokers.store import Bench, DayUse, Ledgers, Store
from synapse.testing import FakeClock

NEVER_OVER = 4e9
TOO_LONG = Bench("gemini", "p", None, "pro", NEVER_OVER, "x" * 50_000)
"""For a disk without a free page."""
NOT_SAVED = ("the use of keys is not saved", "error")
SAVED_AGAIN = ("the use of keys is saved again", "info")


class Book:
    """What there is to collect."""

    def __init__(self) -> None:
        """Begin empty."""
        self.changes = Ledgers()
        self.asked = 0

    def note(self, model: str, requests: int) -> None:
        """Count a model's requests."""
        self.changes = self.changes.then(Ledgers((DayUse("gemini", "p", model, NEVER_OVER, requests, 0),)))

    def collect(self) -> Ledgers:
        """Return what has changed since this was last called."""
        self.asked += 1
        changes, self.changes = self.changes, Ledgers()
        return changes


class Kept:
    """A keeper with all that it stands on."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        """Open a store and let the keeper run."""
        self.path = path
        self.database = Database.open(path, MIGRATIONS)
        self.clock = clock
        self.book = Book()
        self.keeper = LedgerKeeper(Store(self.database), self.book.collect, clock)
        self.running = asyncio.ensure_future(self.keeper.run())

    async def saved(self) -> dict[str, int]:
        """Return what is in the store when the writes that have begun are done."""
        await self.clock.elapse(0.0)
        rows = await self.database.run(lambda connection: connection.execute("SELECT * FROM day_uses").fetchall())
        await self.clock.elapse(0.0)
        return {row[2]: row[4] for row in rows}

    async def stop(self) -> None:
        """Cancel the keeper; return when it has written what is left."""
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    def fill_disk(self) -> None:
        """Allow the file no page beyond those it has."""
        (pages,) = self.database.call(lambda connection: connection.execute("PRAGMA page_count").fetchone())
        self.limit_pages(pages)

    def limit_pages(self, pages: int) -> None:
        """Allow the file so many pages."""
        self.database.call(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))

    def set_read_only(self, switch: str) -> None:
        """Have every write refused, or none."""
        self.database.call(lambda connection: connection.execute(f"PRAGMA query_only = {switch}"))

    @contextmanager
    def locked(self) -> Iterator[sqlite3.Connection]:
        """Be another process that is about to write, until it commits."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield other


@pytest.fixture
async def kept(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Kept]:
    """Return a keeper that runs."""
    async with AsyncExitStack() as stack:
        kept = Kept(tmp_path / "synapse.db", clock)
        stack.push_async_callback(kept.database.close)
        stack.push_async_callback(kept.stop)
        yield kept


async def test_a_change_is_written_within_the_interval(kept: Kept, clock: FakeClock) -> None:
    """Together with all that came after it."""
    kept.book.note("flash", 1)
    kept.keeper.changed()
    await clock.elapse(INTERVAL - 0.01)
    kept.book.note("flash", 2)
    kept.keeper.changed()
    kept.book.note("pro", 1)
    assert await kept.saved() == {}

    await clock.elapse(0.01)

    assert await kept.saved() == {"flash": 2, "pro": 1}
    assert kept.book.asked == 1


async def test_many_changes_are_one_write_an_interval(kept: Kept, clock: FakeClock) -> None:
    """One timer is armed for all of them, and none while nothing changes."""
    for count in range(40):
        kept.book.note("flash", count)
        kept.keeper.changed()
        kept.keeper.changed()
        assert clock.timers == 1
        await clock.elapse(INTERVAL / 4)
        await kept.saved()

    assert kept.book.asked == 10
    await clock.elapse(100.0)
    assert (kept.book.asked, clock.timers) == (10, 0)


async def test_what_is_urgent_is_written_at_once(kept: Kept, clock: FakeClock) -> None:
    """And what else there is with it, so that nothing more is due."""
    kept.book.note("flash", 1)
    kept.keeper.changed()
    kept.book.note("pro", 1)

    kept.keeper.changed(now=True)

    assert await kept.saved() == {"flash": 1, "pro": 1}
    assert (clock.timers, kept.book.asked) == (0, 1)


async def test_what_is_saved_is_not_saved_again(kept: Kept) -> None:
    """It would overwrite what another process has written since."""
    kept.book.note("flash", 1)
    kept.keeper.changed(now=True)
    await kept.saved()
    kept.database.call(lambda connection: connection.execute("UPDATE day_uses SET requests = 5"))

    kept.book.note("pro", 1)
    kept.keeper.changed(now=True)

    assert await kept.saved() == {"flash": 5, "pro": 1}


async def test_what_changes_during_a_write_is_written_after_it(kept: Kept, clock: FakeClock) -> None:
    """The write waits for another process; two are never on their way at once."""
    with kept.locked() as other:
        kept.book.note("flash", 1)
        kept.keeper.changed(now=True)
        await clock.elapse(0.0)
        kept.book.note("flash", 2)
        kept.book.note("pro", 1)
        kept.keeper.changed(now=True)
        await clock.elapse(0.0)
        assert kept.book.asked == 1
        other.commit()
        await kept.saved()

    assert await kept.saved() == {"flash": 2, "pro": 1}
    assert kept.book.asked == 2


async def test_the_rest_is_written_at_the_end(kept: Kept, clock: FakeClock) -> None:
    """Without waiting for the interval, and the cancellation is not swallowed."""
    kept.book.note("flash", 1)
    kept.keeper.changed()
    kept.book.note("pro", 1)

    await kept.stop()

    assert kept.running.cancelled()
    assert await kept.saved() == {"flash": 1, "pro": 1}
    assert clock.timers == 0


async def test_an_end_during_a_write_loses_nothing(kept: Kept, clock: FakeClock) -> None:
    """What it writes and what has come since."""
    with kept.locked() as other:
        kept.book.note("flash", 1)
        kept.keeper.changed(now=True)
        await clock.elapse(0.0)
        kept.book.note("pro", 1)
        kept.running.cancel()
        await clock.elapse(0.0)
        assert not kept.running.done()
        other.commit()
        await asyncio.wait([kept.running])

    assert await kept.saved() == {"flash": 1, "pro": 1}


async def test_a_keeper_to_which_nothing_happened_asks_once_and_writes_nothing(kept: Kept) -> None:
    """At the end, in case a change was not told."""
    await kept.clock.elapse(10.0)
    assert kept.book.asked == 0

    await kept.stop()

    assert (kept.book.asked, await kept.saved()) == (1, {})


async def test_a_failing_write_is_told_once_and_made_good_when_it_can_be(kept: Kept, clock: FakeClock) -> None:
    """The disk is full for a while: nothing is lost, and what is later wins."""
    with capture_logs() as logs:
        kept.fill_disk()
        kept.book.changes = Ledgers((), (TOO_LONG,))
        for count in range(5):
            kept.book.note("flash", count)
            kept.keeper.changed()
            await clock.elapse(INTERVAL)
            assert await kept.saved() == {}
        assert [(line["event"], line["log_level"]) for line in logs] == [NOT_SAVED]
        assert logs[0]["reason"].endswith("synapse.db: database or disk is full: make room on that disk")
        kept.limit_pages(1_000_000)
        await clock.elapse(INTERVAL)

        assert await kept.saved() == {"flash": 4}
        assert [(line["event"], line["log_level"]) for line in logs] == [NOT_SAVED, SAVED_AGAIN]


async def test_each_time_that_writing_begins_to_fail_is_told(kept: Kept, clock: FakeClock) -> None:
    """Once it had worked in between."""
    with capture_logs() as logs:
        for _ in range(2):
            for switch in ("ON", "OFF"):
                kept.set_read_only(switch)
                kept.book.note("flash", 1)
                kept.keeper.changed()
                await clock.elapse(INTERVAL)
                await kept.saved()

    assert [(line["event"], line["log_level"]) for line in logs] == [NOT_SAVED, SAVED_AGAIN] * 2


async def test_it_is_tried_again_though_nothing_more_changes(kept: Kept, clock: FakeClock) -> None:
    """The last that is learned before a pause may be what matters: that a day's quota is spent."""
    kept.set_read_only("ON")
    kept.book.note("flash", 250)
    kept.keeper.changed(now=True)
    await kept.saved()
    kept.set_read_only("OFF")

    await clock.elapse(INTERVAL)

    assert await kept.saved() == {"flash": 250}


async def test_a_store_that_fails_to_the_end_keeps_nobody(kept: Kept, clock: FakeClock) -> None:
    """The keeper ends, and leaves no timer behind."""
    kept.set_read_only("ON")
    kept.book.note("flash", 1)

    with capture_logs() as logs:
        await kept.stop()

    assert kept.running.cancelled()
    assert [(line["event"], line["log_level"]) for line in logs] == [NOT_SAVED]
    assert clock.timers == 0

"""Ledgers that remember: put right at the start, written as they change, and no worse without a store."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from synapse.brokers.base import OnChange
from synapse.brokers.bookkeeping import remembering
from synapse.brokers.ledger_keeper import INTERVAL
from synapse.brokers.store import Ledgers, Store
from synapse.domain.caller import Band
from synapse.domain.credential import Credential
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.quota import Quota
from synapse.domain.usage import Usage
from synapse.scheduling.ledger import Ledger, Terms
from synapse.testing import FakeClock

FORGOTTEN = "the use of keys will be forgotten at the next start"
SOON = 5.0
"""Real seconds within which a write that waits for nothing is done."""


def make_ledger() -> Ledger:
    """Make a ledger of two keys, with 50 requests a day for each."""
    terms = Terms("p", ZoneInfo("UTC"), variables=("P_API_KEYS",), quota=Quota(rpd=50))
    return Ledger(terms, [Credential("one", "key-of-one"), Credential("two", "key-of-two")])


def use(ledger: Ledger, clock: FakeClock, *, failure: Failure | None = None) -> None:
    """Have one request answered, or refused."""
    permit = ledger.take("m", 10, Band.INTERACTIVE, clock.now())
    assert permit is not None
    ledger.settle(permit, clock.now(), usage=Usage(10, 5) if failure is None else None, failure=failure)


async def stored(path: Path, clock: FakeClock) -> Ledgers:
    """Return what a process that starts now would find."""
    store = Store.open(path)
    try:
        return store.load(clock.now())
    finally:
        await store.close()


async def stored_soon(path: Path, clock: FakeClock) -> Ledgers:
    """Wait, without any passing of the clock's time, until there is something."""
    async with asyncio.timeout(SOON):
        while True:
            if found := await stored(path, clock):
                return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the store is."""
    return tmp_path / "synapse.db"


async def test_what_is_urgent_is_written_at_once(path: Path, clock: FakeClock) -> None:
    """Whatever happens to the process then: nobody had to wait for anything."""
    ledger = make_ledger()
    async with remembering({"p": ledger}, path, clock) as on_change:
        use(ledger, clock)
        on_change(urgent=True)

        (day_use,) = (await stored_soon(path, clock)).day_uses

        assert (day_use.requests, day_use.tokens) == (1, 10)
        assert clock.timers == 0


async def test_what_is_not_urgent_is_written_soon(path: Path, clock: FakeClock) -> None:
    """Within the interval of the keeper, with all that came meanwhile."""
    ledger = make_ledger()
    async with remembering({"p": ledger}, path, clock) as on_change:
        for _ in range(5):
            use(ledger, clock)
            on_change(urgent=False)
        await clock.elapse(INTERVAL - 0.01)
        assert not await stored(path, clock)

        await clock.elapse(0.01)

        assert sum(day_use.requests for day_use in (await stored_soon(path, clock)).day_uses) == 5


async def test_the_rest_is_written_at_the_end(path: Path, clock: FakeClock) -> None:
    """Also what nobody told of, and also when the block ends before anything else could run."""
    ledger = make_ledger()
    async with remembering({"p": ledger}, path, clock):
        use(ledger, clock)

    assert len((await stored(path, clock)).day_uses) == 1
    assert clock.timers == 0


async def test_a_block_that_fails_is_remembered_too(path: Path, clock: FakeClock) -> None:
    """Its error goes on."""
    ledger = make_ledger()

    async def fail() -> None:
        async with remembering({"p": ledger}, path, clock):
            use(ledger, clock)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert len((await stored(path, clock)).day_uses) == 1


async def test_a_restart_goes_on_where_the_process_ended(path: Path, clock: FakeClock) -> None:
    """What was used, which key is dead and what is closed is as it was; and it is not written again."""
    before, after = make_ledger(), make_ledger()
    async with remembering({"p": before}, path, clock):
        use(before, clock, failure=Failure(FailureClass.CREDENTIAL_DEAD, "API key not valid"))
        for _ in range(50):
            use(before, clock)
    found = await stored(path, clock)
    await clock.elapse(100.0)

    async with remembering({"p": after}, path, clock) as on_change:
        assert after.take("m", 10, Band.INTERACTIVE, clock.now()) is None
        assert sum(standing.benched_until is not None for standing in after.standings(clock.now())) == 1
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("DELETE FROM day_uses")
            on_change(urgent=True)
            await clock.elapse(0.0)

    assert (await stored(path, clock)).day_uses == ()
    assert len(found.day_uses) == 1


async def test_yesterday_does_not_count(path: Path, clock: FakeClock) -> None:
    """A day's use is over with the day."""
    before, after = make_ledger(), make_ledger()
    async with remembering({"p": before}, path, clock):
        for _ in range(100):
            use(before, clock)
    await clock.elapse(86_400.0)

    async with remembering({"p": after}, path, clock):
        use(after, clock)

    assert [day_use.requests for day_use in (await stored(path, clock)).day_uses] == [1]


async def _works_without(ledger: Ledger, clock: FakeClock, on_change: OnChange) -> None:
    for urgent in (True, False):
        use(ledger, clock)
        on_change(urgent=urgent)
    await clock.elapse(10 * INTERVAL)
    assert clock.timers == 0


async def test_without_a_path_nothing_is_kept(clock: FakeClock) -> None:
    """Not a word of it in the log: it was asked for."""
    ledger = make_ledger()
    with capture_logs() as logs:
        async with remembering({"p": ledger}, None, clock) as on_change:
            await _works_without(ledger, clock, on_change)

    assert not logs


async def make_folder(path: Path) -> None:
    """Put a folder where the file would be."""
    path.mkdir()  # noqa: ASYNC240 - at once


async def make_foreign(path: Path) -> None:
    """Write another program's database."""
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE tasks (id)")


async def make_garbage(path: Path) -> None:
    """Write what is no database."""
    path.write_bytes(b"no database" * 1000)  # noqa: ASYNC240 - at once


async def make_incomplete(path: Path) -> None:
    """Write a store that has lost a table: it can be opened, and not be read."""
    await Store.open(path).close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("DROP TABLE learned")


@pytest.mark.parametrize("make", [make_folder, make_foreign, make_garbage, make_incomplete])
async def test_a_store_that_cannot_be_used_is_told_and_done_without(
    path: Path, clock: FakeClock, make: Callable[[Path], Awaitable[None]]
) -> None:
    """Once, with the file and what to do; all else works, and what there is in the file is left alone."""
    await make(path)
    before = _content(path)
    ledger = make_ledger()

    with capture_logs() as logs:
        async with remembering({"p": ledger}, path, clock) as on_change:
            await _works_without(ledger, clock, on_change)

    (entry,) = logs
    assert (entry["event"], entry["log_level"]) == (FORGOTTEN, "error")
    assert entry["reason"].startswith(str(path))
    assert "store.path" in entry["reason"] or "put a copy" in entry["reason"]
    assert _content(path) == before
    assert not _open_files(path)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _open_files(path: Path) -> list[str]:
    """Return which of a store's files this process has open; none where that cannot be told."""
    folder = Path("/proc/self/fd")
    links = [link.readlink() for link in folder.iterdir() if link.is_symlink()] if folder.is_dir() else []
    return [str(link) for link in links if str(link).startswith(str(path))]


async def test_a_fault_that_ends_the_keeping_is_told(path: Path, clock: FakeClock) -> None:
    """Whatever it is: nobody would find out before the next start. A name that is no text cannot be written."""
    ledger = Ledger(Terms("p", ZoneInfo("UTC"), variables=("P_API_KEYS",)), [Credential("\udcff", "key-of-one")])
    with capture_logs() as logs:
        async with remembering({"p": ledger}, path, clock) as on_change:
            use(ledger, clock)
            on_change(urgent=True)
            async with asyncio.timeout(SOON):
                while not logs:  # noqa: ASYNC110 - a log tells nobody
                    await asyncio.sleep(0)
            on_change(urgent=False)

    (entry,) = logs
    assert entry["event"] == "the use of keys is no longer saved, by a fault of Synapse"
    assert isinstance(entry["exc_info"], UnicodeEncodeError)

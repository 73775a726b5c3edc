"""The store: what is known of the keys' use outlives the process."""

from __future__ import annotations

import asyncio
import math
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from synapse.brokers.database import Database, StoreError
from synapse.brokers.schema import MIGRATIONS
from synapse.brokers.store import Bench, DayUse, Learned, Ledgers, Store, key_id
from synapse.domain.quota import Quota

NOW = 1_767_225_600.0
MIDNIGHT = NOW + 3600.0
USE = DayUse("gemini", "p1", "flash", MIDNIGHT, requests=3, tokens=1200)
BENCH = Bench("gemini", "p1", key_id("0123456789abcdef"), None, math.inf, "API key not valid")
CLOSED = Bench("gemini", "p1", None, "pro", MIDNIGHT, "used up")
LEARNED = Learned("openrouter", "p2", ":free", Quota(rpm=20, rpd=50))
LEDGERS = Ledgers((USE,), (CLOSED, BENCH), (LEARNED,))


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Return what a store stands on."""
    async with AsyncExitStack() as stack:
        database = Database.open(tmp_path / "synapse.db", MIGRATIONS)
        stack.push_async_callback(database.close)
        yield database


@pytest.fixture
def store(database: Database) -> Store:
    """Return a store on it."""
    return Store(database)


async def load(path: Path, now: float = NOW) -> Ledgers:
    """Return what a store has after a restart."""
    store = Store.open(path)
    try:
        return store.load(now)
    finally:
        await store.close()


async def test_a_new_store_knows_nothing(store: Store) -> None:
    """It is made when it is opened."""
    assert store.load(NOW) == Ledgers()
    assert not store.load(NOW)


async def test_what_was_saved_is_known_after_a_restart(tmp_path: Path) -> None:
    """All of it, benches for good among it."""
    store = Store.open(tmp_path / "synapse.db")
    await store.save(LEDGERS)
    await store.close()

    assert await load(tmp_path / "synapse.db") == LEDGERS


async def test_a_store_without_a_file_remembers_as_long_as_it_is_open() -> None:
    """For those who want none."""
    store = Store.open(None)
    await store.save(LEDGERS)

    assert store.load(NOW) == LEDGERS
    await store.close()


async def test_what_is_saved_later_takes_the_place_of_what_it_is_about(store: Store) -> None:
    """And of nothing else."""
    other = DayUse("gemini", "p1", "pro", MIDNIGHT, requests=1, tokens=1)
    use = DayUse("gemini", "p1", "flash", MIDNIGHT + 86_400, requests=1, tokens=400)
    learned = Learned("openrouter", "p2", ":free", Quota(rpd=1000))
    await store.save(Ledgers((*LEDGERS.day_uses, other), LEDGERS.benches, LEDGERS.learned))

    await store.save(Ledgers((use,), (), (learned,)))

    assert store.load(NOW) == Ledgers((use, other), LEDGERS.benches, (learned,))


async def test_what_is_over_is_forgotten(store: Store, database: Database) -> None:
    """A day at its end, a bench at its instant; learned limits stay."""
    await store.save(LEDGERS)

    assert store.load(MIDNIGHT - 1) == LEDGERS
    assert store.load(MIDNIGHT) == Ledgers((), (BENCH,), (LEARNED,))
    assert database.call(lambda connection: connection.execute("SELECT * FROM day_uses").fetchall()) == []
    assert store.load(NOW) == Ledgers((), (BENCH,), (LEARNED,))


async def test_a_bench_until_0_is_lifted(store: Store, database: Database) -> None:
    """Only the one that it is about; nothing of it is left."""
    await store.save(LEDGERS)

    await store.save(Ledgers((), (Bench("gemini", "p1", BENCH.key_id, None, 0.0, ""),)))

    assert database.call(lambda connection: connection.execute("SELECT count(*) FROM benches").fetchone()) == (1,)
    assert store.load(NOW).benches == (CLOSED,)


async def test_benches_of_a_key_a_model_and_both_are_different_ones(store: Store) -> None:
    """Whatever the two have in common."""
    benches = {
        Bench("gemini", "p1", key, model, MIDNIGHT, "why")
        for key in (None, key_id("a"), key_id("b"))
        for model in (None, "flash", "pro")
    }

    await store.save(Ledgers((), tuple(benches)))

    assert set(store.load(NOW).benches) == benches


async def test_what_no_file_could_hold_is_held_as_well_as_it_can_be(store: Store) -> None:
    """A limit beyond all integers, half a surrogate pair in a provider's words: they must not keep the rest out."""
    bench = Bench("gemini", "p1", None, "pro", MIDNIGHT, "so \ud800 odd")
    learned = Learned("gemini", "p1", "pro", Quota(tpd=10**30, rpm=0))

    await store.save(Ledgers((USE,), (bench,), (learned,)))

    assert store.load(NOW) == Ledgers(
        (USE,),
        (Bench("gemini", "p1", None, "pro", MIDNIGHT, "so ? odd"),),
        (Learned("gemini", "p1", "pro", Quota(tpd=2**63 - 1, rpm=0)),),
    )


async def test_the_last_of_many_saves_is_what_stays(store: Store) -> None:
    """They are done in the order of the calls."""
    uses = [DayUse("gemini", "p1", "flash", MIDNIGHT, requests=count, tokens=0) for count in range(50)]

    await asyncio.gather(*(store.save(Ledgers((use,))) for use in uses))

    assert store.load(NOW).day_uses == (uses[-1],)


async def test_a_full_disk_fails_a_save_as_a_whole_and_no_load(store: Store, database: Database) -> None:
    """What was there before stays."""
    await store.save(LEDGERS)
    database.call(fill_disk)

    with pytest.raises(StoreError, match="database or disk is full"):
        await store.save(Ledgers((DayUse("gemini", "p1", "flash", MIDNIGHT, 4, 0),), (long_bench(),)))

    assert store.load(NOW) == LEDGERS
    assert store.load(MIDNIGHT) == Ledgers((), (BENCH,), (LEARNED,))


async def test_what_is_over_is_not_told_even_where_it_cannot_be_deleted(store: Store, database: Database) -> None:
    """It stays in a file that can no longer be written."""
    await store.save(LEDGERS)
    database.call(lambda connection: connection.execute("PRAGMA query_only = ON"))

    assert store.load(MIDNIGHT) == Ledgers((), (BENCH,), (LEARNED,))
    assert store.load(NOW) == LEDGERS


def fill_disk(connection: sqlite3.Connection) -> None:
    """Allow the file no page beyond those it has."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")


def long_bench() -> Bench:
    """Return a bench that needs more than one page."""
    return Bench("gemini", "p1", None, "flash", MIDNIGHT, "x" * 50_000)


def test_a_key_is_named_without_giving_it_away() -> None:
    """The name is the same in every process."""
    assert key_id("0123456789abcdef") == "9f9f5111f7b27a78"


async def test_no_key_is_in_the_file(tmp_path: Path) -> None:
    """Only its name is."""
    store = Store.open(tmp_path / "synapse.db")
    await store.save(LEDGERS)
    await store.close()

    content = await asyncio.to_thread((tmp_path / "synapse.db").read_bytes)
    assert b"9f9f5111f7b27a78" in content
    assert b"0123456789abcdef" not in content


def test_later_changes_take_the_place_of_earlier_ones() -> None:
    """Each of what it is about."""
    lifted = Bench("gemini", "p1", None, "pro", 0.0, "")
    use = DayUse("gemini", "p2", "flash", MIDNIGHT, requests=1, tokens=1)

    assert LEDGERS.then(Ledgers((use,), (lifted,))) == Ledgers((USE, use), (lifted, BENCH), (LEARNED,))
    assert Ledgers().then(LEDGERS) == LEDGERS.then(LEDGERS) == LEDGERS


SAVE_WITHOUT_END = """
import asyncio, itertools, sys
from pathlib import Path
from synapse.brokers.store import Bench, DayUse, Ledgers, Store

async def main():
    store = Store.open(Path(sys.argv[1]))
    for count in itertools.count(1):
        uses = tuple(DayUse("gemini", f"p{number}", "flash", 4e9, count, count) for number in range(100))
        await store.save(Ledgers(uses, (Bench("gemini", "p0", None, "flash", 4e9, str(count)),)))
        print(count, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("saves", [1, 7, 50])
async def test_killing_the_process_takes_nothing_back(tmp_path: Path, saves: int) -> None:
    """What it was told to be saved is there, and of what it was at then all or nothing."""
    path = tmp_path / "synapse.db"
    command = [sys.executable, "-c", SAVE_WITHOUT_END, str(path)]

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:  # noqa: ASYNC220, S603 - our own
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) == saves:
                process.kill()
                break
        told = max(saves, *map(int, process.stdout.read().split()), 0)

    found = await load(path)
    (count,) = {use.requests for use in found.day_uses}
    assert len(found.day_uses) == 100
    assert count in {told, told + 1}
    assert found.benches[0].reason == str(count)


async def test_two_stores_on_one_file_keep_what_both_say(tmp_path: Path) -> None:
    """They write at the same time."""
    stores = [Store.open(tmp_path / "synapse.db") for _ in range(2)]

    def save(name: str, count: int) -> Ledgers:
        return Ledgers((DayUse(name, f"p{count}", "flash", MIDNIGHT, count, count),))

    await asyncio.gather(
        *(store.save(save(name, count)) for count in range(50) for name, store in zip("ab", stores, strict=True))
    )
    for store in stores:
        await store.close()

    found = await load(tmp_path / "synapse.db")
    assert sorted((use.provider, use.requests) for use in found.day_uses) == [
        (name, count) for name in "ab" for count in range(50)
    ]

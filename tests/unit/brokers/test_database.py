"""One SQLite file: what opens, what does not and why, and what is left when a process ends in the middle."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest

from synapse.brokers.database import Database, Migration, StoreError, transaction

FIRST: Migration = ("CREATE TABLE notes (text TEXT NOT NULL)",)
SECOND: Migration = ("ALTER TABLE notes ADD COLUMN author TEXT", "UPDATE notes SET author = 'nobody'")

Open = Callable[..., Awaitable[Database]]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Open a file of the test's folder; it is closed when the test is over."""
    async with AsyncExitStack() as stack:

        async def opened(*migrations: Migration, name: str = "synapse.db") -> Database:
            database = Database.open(tmp_path / name, migrations)
            stack.push_async_callback(database.close)
            return database

        yield opened


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """Return a folder that another user can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def note(text: str) -> Callable[[sqlite3.Connection], None]:
    """Return work that writes a note."""

    def write(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))

    return write


def files(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return [file.name for file in folder.iterdir()]


def rows(statement: str) -> Callable[[sqlite3.Connection], list[tuple[object, ...]]]:
    """Return work that answers a question."""
    return lambda connection: connection.execute(statement).fetchall()


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    """One file is left when the last has closed it."""
    for text in ("a", "b"):
        database = Database.open(tmp_path / "synapse.db", [FIRST])
        await database.run(note(text))
        await database.close()

    database = Database.open(tmp_path / "synapse.db", [FIRST])
    found = await database.run(rows("SELECT text FROM notes"))
    await database.close()

    assert found == [("a",), ("b",)]
    assert files(tmp_path) == ["synapse.db"]


async def test_a_file_of_an_older_version_is_upgraded_once(opened: Open) -> None:
    """What was in it stays in it; the next one to open it finds nothing to do."""
    await (await opened(FIRST)).run(note("old"))

    for _ in range(2):
        upgraded = await opened(FIRST, SECOND)

        assert await upgraded.run(rows("SELECT text, author FROM notes")) == [("old", "nobody")]
        assert await upgraded.run(rows("PRAGMA user_version")) == [(2,)]


async def test_an_upgrade_that_fails_changes_nothing(opened: Open) -> None:
    """Neither a statement nor the version of one that came before it."""
    await (await opened(FIRST)).run(note("old"))

    with pytest.raises(StoreError, match="syntax error"):
        await opened(FIRST, SECOND, ("ALTER TABLE notes ADD COLUMN read_at REAL", "NONSENSE"))

    assert await (await opened(FIRST)).run(rows("SELECT * FROM notes")) == [("old",)]


async def test_a_file_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    """The message has both versions."""
    path = tmp_path / "synapse.db"
    await Database.open(path, [FIRST, SECOND]).close()
    before = path.read_bytes()

    with pytest.raises(StoreError) as caught:
        Database.open(path, [FIRST])

    assert str(caught.value) == (
        f"{path}: a newer Synapse wrote it (version 2 of the schema, this one knows 1): "
        "run the newer one, or set store.path to another file"
    )
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_left_as_it_is(tmp_path: Path) -> None:
    """Even where its version is one of ours."""
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as others, others:
        others.execute("CREATE TABLE users (name TEXT)")
        others.execute("PRAGMA user_version = 1")
    before = path.read_bytes()

    with pytest.raises(StoreError, match=r"app\.db: it is a database, but none of Synapse: set store\.path to another"):
        Database.open(path, [FIRST])

    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    """The message says what SQLite found, and what to do with it."""
    path = tmp_path / "synapse.db"
    path.write_bytes(b"no database at all, but long enough to be taken for one " * 100)
    before = path.read_bytes()

    with pytest.raises(StoreError) as caught:
        Database.open(path, [FIRST])

    assert str(caught.value) == (
        f"{path}: file is not a database: put a copy of it in its place, or move it away with its -wal file, "
        "and a new one is made"
    )
    assert path.read_bytes() == before


async def test_a_damaged_file_is_told_when_it_is_read(tmp_path: Path) -> None:
    """A page in the middle was overwritten."""
    path = tmp_path / "synapse.db"
    database = Database.open(path, [FIRST])
    await database.run(note("x" * 50_000))
    await database.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)

    database = Database.open(path, [FIRST])
    with pytest.raises(StoreError, match=r"synapse\.db: database disk image is malformed: put a copy of it"):
        await database.run(rows("SELECT * FROM notes"))
    await database.close()


@pytest.mark.parametrize(
    ("name", "said"),
    [("missing/synapse.db", "No such file or directory"), (".", "Is a directory"), ("x" * 300, "File name too long")],
)
def test_what_the_system_refuses_is_told_in_its_words(tmp_path: Path, name: str, said: str) -> None:
    """SQLite alone would say that it is unable to."""
    path = tmp_path / name

    with pytest.raises(StoreError) as caught:
        Database.open(path, [FIRST])

    assert str(caught.value) == (
        f"{path}: {said}: let this user write there, or set store.path to a file that it may write"
    )


OPEN_WITHOUT_RIGHTS = """
import os, sys
from pathlib import Path
from synapse.brokers.database import Database, StoreError

if os.geteuid() == 0:
    os.setuid(65534)
try:
    Database.open(Path(sys.argv[1]), [("CREATE TABLE notes (text TEXT NOT NULL)",)])
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("exists", "said"), [(False, "Permission denied"), (True, "attempt to write a readonly database")]
)
def test_a_folder_that_is_read_only_is_told_at_once(shared_folder: Path, *, exists: bool, said: str) -> None:
    """Not at the first write; whether the file is there already or not."""
    path = shared_folder / "synapse.db"
    if exists:
        asyncio.run(Database.open(path, [FIRST]).close())
        path.chmod(0o444)
    shared_folder.chmod(0o555)

    opening = run_script(OPEN_WITHOUT_RIGHTS, path)

    assert opening.stdout.strip() == (
        f"{path}: {said}: let this user write there, or set store.path to a file that it may write"
    )


async def test_a_full_disk_fails_the_write_as_a_whole(opened: Open) -> None:
    """The file stays usable, and takes the same when there is room again."""
    database = await opened(FIRST)
    await database.run(note("before"))
    (pages,) = (await database.run(rows("PRAGMA page_count")))[0]
    await database.run(rows(f"PRAGMA max_page_count = {pages}"))

    def write_much(connection: sqlite3.Connection) -> None:
        with transaction(connection):
            connection.execute("DELETE FROM notes")
            connection.execute("INSERT INTO notes VALUES (?)", ("x" * 100_000,))

    with pytest.raises(StoreError, match=r"synapse\.db: database or disk is full: make room on that disk"):
        await database.run(write_much)
    assert await database.run(rows("SELECT text FROM notes")) == [("before",)]
    await database.run(rows("PRAGMA max_page_count = 1000000"))
    await database.run(write_much)

    assert await database.run(rows("SELECT length(text) FROM notes")) == [(100_000,)]


async def test_a_file_that_another_keeps_locked_is_told_after_a_while(tmp_path: Path, opened: Open) -> None:
    """The wait is over as soon as the other is done; the test has less patience than the program."""
    database = await opened(FIRST)
    await database.run(rows("PRAGMA busy_timeout = 1"))

    with closing(sqlite3.connect(tmp_path / "synapse.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="database is locked: another process keeps it to itself"):
            await database.run(note("a"))
        await database.run(rows("PRAGMA busy_timeout = 30000"))
        waiting = asyncio.ensure_future(database.run(note("b")))
        other.execute("COMMIT")
        await waiting

    assert await database.run(rows("SELECT text FROM notes")) == [("b",)]


async def test_work_goes_one_after_the_other_on_another_thread(opened: Open) -> None:
    """The loop stays free, and nothing is done twice at once."""
    database = await opened(FIRST)
    begun: list[str] = []

    def work(name: str) -> Callable[[sqlite3.Connection], list[str]]:
        def do(connection: sqlite3.Connection) -> list[str]:
            begun.append(f"{name} begins")
            note(name)(connection)
            begun.append(f"{name} ends")
            return begun

        return do

    await asyncio.gather(*(database.run(work(name)) for name in "abc"))

    assert database.call(work("d")) == [f"{name} {what}" for name in "abcd" for what in ("begins", "ends")]


async def test_closing_waits_for_what_was_begun(tmp_path: Path) -> None:
    """Even where nobody waits for it any more."""
    database = Database.open(tmp_path / "synapse.db", [FIRST])
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def work(connection: sqlite3.Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        note("a")(connection)

    writing = asyncio.ensure_future(database.run(work))
    await begun.wait()
    writing.cancel()
    await database.close()

    with closing(sqlite3.connect(tmp_path / "synapse.db")) as connection:
        assert rows("SELECT text FROM notes")(connection) == [("a",)]


async def test_a_store_in_memory_has_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it runs; the message names it all the same."""
    monkeypatch.chdir(tmp_path)
    database = Database.open(None, [FIRST])
    await database.run(note("a"))

    with pytest.raises(StoreError, match="the store in memory: no such table: others: "):
        await database.run(rows("SELECT * FROM others"))
    assert await database.run(rows("SELECT text FROM notes")) == [("a",)]
    await database.close()

    assert files(tmp_path) == []


WRITE_MANY = """
import asyncio, sys
from pathlib import Path
from synapse.brokers.database import Database, transaction

async def main():
    database = Database.open(Path(sys.argv[1]), [("CREATE TABLE notes (text TEXT NOT NULL)",)])
    def write(connection):
        with transaction(connection):
            connection.execute("INSERT INTO notes VALUES (?)", (sys.argv[2],))
    for _ in range(100):
        await database.run(write)
    await database.close()

asyncio.run(main())
"""


async def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path) -> None:
    """One of them makes it, the others wait; it is a matter of moments who meets whom, so there are many files."""
    together = threading.Barrier(4)

    def open_it(path: Path) -> Database:
        together.wait()
        return Database.open(path, [FIRST])

    for number in range(25):
        path = tmp_path / f"{number}.db"
        for database in await asyncio.gather(*(asyncio.to_thread(open_it, path) for _ in range(4))):
            await database.close()


async def test_processes_may_share_a_file(tmp_path: Path, opened: Open) -> None:
    """They make it, upgrade it and write it at the same time; everything arrives."""
    names = ["a", "b", "c", "d"]

    ended = await asyncio.gather(
        *(asyncio.to_thread(run_script, WRITE_MANY, tmp_path / "synapse.db", name) for name in names)
    )

    assert [each.stderr for each in ended] == [""] * len(names)
    counted = await (await opened(FIRST)).run(rows("SELECT text, count(*) FROM notes GROUP BY text ORDER BY text"))
    assert counted == [(name, 100) for name in names]


def run_script(script: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", script, *map(os.fspath, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )

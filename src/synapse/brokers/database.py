"""One SQLite file: opened, brought up to date, and worked with on a thread of its own.

Several processes may have the file open. SQLite lets one of them write at a time; the others wait for it, at most
`PATIENCE` seconds, and then their write fails as a whole.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
Migration = tuple[str, ...]
"""The statements that bring a file from one version of its schema to the next."""

PATIENCE = 5.0
"""Seconds that a write waits for another process's."""
_PAUSE = 0.01
_APPLICATION_ID = int.from_bytes(b"SynQ", "big")
"""Stands in the header of our files, so that no other program's database is taken for one."""
_LET_WRITE = "let this user write there, or set store.path to a file that it may write"
_REPLACE = "put a copy of it in its place, or move it away with its -wal file, and a new one is made"
_ADVICE = {
    sqlite3.SQLITE_FULL: "make room on that disk",
    sqlite3.SQLITE_CANTOPEN: _LET_WRITE,
    sqlite3.SQLITE_READONLY: _LET_WRITE,
    sqlite3.SQLITE_PERM: _LET_WRITE,
    sqlite3.SQLITE_BUSY: "another process keeps it to itself: end that one, or set store.path to another file",
    sqlite3.SQLITE_CORRUPT: _REPLACE,
    sqlite3.SQLITE_NOTADB: _REPLACE,
    sqlite3.SQLITE_IOERR: "look after that disk, or set store.path to a file on another one",
}
"""What to do, by SQLite's primary result code."""


class StoreError(Exception):
    """The store cannot be opened, read or written. The message has the file, what the system said, what to do."""


class Database:
    """A connection that only its own thread uses, one piece of work at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        """Take a connection made with `check_same_thread=False` and `isolation_level=None`, and where its file is."""
        self._connection = connection
        self._path = path
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    @classmethod
    def open(cls, path: Path | None, migrations: Sequence[Migration]) -> Database:
        """Open a file, or a database in memory, and bring it up to the version that is the number of migrations.

        Raises StoreError. A file that another program or a newer Synapse has written is left as it is.
        """
        with _translating(path):
            connection = sqlite3.connect(
                path or ":memory:", timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            try:
                _check(connection, path, len(migrations))
                _prepare(connection, migrations)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have work done on the thread. Raises StoreError. Work that has begun is done, whoever is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work)

    def call(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do the same and block until it is done: for what has no event loop to keep from its work."""
        return self._thread.submit(self._do, work).result()

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        with _translating(self._path):
            return work(self._connection)

    async def close(self) -> None:
        """Close the file when the work that was begun is done. All of it is on disk then."""
        try:
            await self.run(_finish)
        finally:
            self._thread.shutdown(wait=False)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Generator[None]:
    """Make all that the block writes visible at its end, at once, or none of it."""
    with connection:
        # Taking the right to write at the first statement instead would fail, without patience, if another had it.
        connection.execute("BEGIN IMMEDIATE")
        yield


def _check(connection: sqlite3.Connection, path: Path | None, known: int) -> None:
    used = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if used and _pragma(connection, "application_id") != _APPLICATION_ID:
        raise StoreError(f"{path}: it is a database, but none of Synapse: set store.path to another file")
    version = _pragma(connection, "user_version")
    if version > known:
        raise StoreError(
            f"{path}: a newer Synapse wrote it (version {version} of the schema, this one knows {known}): "
            "run the newer one, or set store.path to another file"
        )


def _prepare(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    # Readers and the writer do not wait for each other; a commit is a write, not a wait for the disk, and what a power
    # failure may take is the last moments, never the file.
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous = NORMAL")
    with transaction(connection):  # even if nothing is to do: a file that cannot be written is found out now
        done = _pragma(connection, "user_version")
        for version, statements in enumerate(migrations[done:], start=done + 1):
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version}")
        if not done:
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Where two processes do it together it fails at once: that alone SQLite does not wait with."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _finish(connection: sqlite3.Connection) -> None:
    # What cannot be moved into the file stays in its log, where the next one to open it finds it.
    with suppress(sqlite3.Error):
        connection.execute("PRAGMA wal_checkpoint")
    connection.close()


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


@contextmanager
def _translating(path: Path | None) -> Generator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = _code(error)
        said = _refusal(path) if code == sqlite3.SQLITE_CANTOPEN else None
        advice = _ADVICE.get(code, "set store.path to another file")
        raise StoreError(f"{path or 'the store in memory'}: {said or error}: {advice}") from error


def _code(error: sqlite3.Error) -> int:
    """Return the primary result code; Python's own complaints have none."""
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _refusal(path: Path | None) -> str | None:
    """Return why the system does not open a file, which SQLite keeps to itself; None where it does open it."""
    if path is None:
        return None
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o644))
    except OSError as error:
        return error.strerror
    return None

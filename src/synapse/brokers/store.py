"""What outlives the process: day counts, benches and learned limits.

Two processes on one file cannot harm it; each overwrites what the other has said of the same key and model.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from synapse.brokers.database import Database, transaction
from synapse.brokers.schema import MIGRATIONS
from synapse.domain.quota import Quota

_LARGEST = 2**63 - 1
"""SQLite's integers end here; a limit beyond is as good as this one."""


class DayUse(msgspec.Struct, frozen=True):
    """What has been used of the limits of a day."""

    provider: str
    project: str
    """Empty where the provider wants no key."""
    scope: str
    """A model's name, or that of a quota that several models share."""
    ends_at: float
    """UTC seconds; the day's end."""
    requests: int
    tokens: int

    @property
    def key(self) -> tuple[str, ...]:
        """What there is one of."""
        return self.provider, self.project, self.scope


class Bench(msgspec.Struct, frozen=True):
    """A credential, or a model on a whole project, that rests."""

    provider: str
    project: str
    key_id: str | None
    """Of the credential, as `key_id` makes it; None where all of the project rest."""
    model: str | None
    """None where it rests for all models."""
    until: float
    """UTC seconds; `math.inf` is for good, 0 is a bench that is lifted."""
    reason: str

    @property
    def key(self) -> tuple[str, ...]:
        """What there is one of."""
        return self.provider, self.project, self.key_id or "", self.model or ""


class Learned(msgspec.Struct, frozen=True):
    """Limits that the provider has told."""

    provider: str
    project: str
    scope: str
    """A model's name, or that of a quota that several models share."""
    quota: Quota

    @property
    def key(self) -> tuple[str, ...]:
        """What there is one of."""
        return self.provider, self.project, self.scope


class Ledgers(msgspec.Struct, frozen=True):
    """What is known of the keys of all providers, or what has changed of that."""

    day_uses: tuple[DayUse, ...] = ()
    benches: tuple[Bench, ...] = ()
    learned: tuple[Learned, ...] = ()

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self.day_uses or self.benches or self.learned)

    def then(self, later: Ledgers) -> Ledgers:
        """Return both, with what is later in the place of what it is about."""
        return Ledgers(
            _latest((*self.day_uses, *later.day_uses)),
            _latest((*self.benches, *later.benches)),
            _latest((*self.learned, *later.learned)),
        )


def key_id(key: str) -> str:
    """Name a credential's key by what does not give it away: the first 16 characters of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


class Store:
    """A file that remembers."""

    def __init__(self, database: Database) -> None:
        """Take a database that was opened with `MIGRATIONS`."""
        self._database = database

    @classmethod
    def open(cls, path: Path | None) -> Store:
        """Open the file, which is made where there is none; None is a store in memory. Raises StoreError."""
        return cls(Database.open(path, MIGRATIONS))

    def load(self, now: float) -> Ledgers:
        """Return all that is not over, and forget what is. Raises StoreError."""
        return self._database.call(lambda connection: _load(connection, now))

    async def save(self, ledgers: Ledgers) -> None:
        """Write these, all or none, in the place of what was known of the same; a bench until 0 is forgotten.

        It is done in a thread, one after the other in the order of the calls. Killing the process takes nothing of it
        back. Raises StoreError.
        """
        await self._database.run(lambda connection: _save(connection, ledgers))

    async def close(self) -> None:
        """Bring what was saved to the disk and close the file."""
        await self._database.close()


def _load(connection: sqlite3.Connection, now: float) -> Ledgers:
    # It may be that nothing can be written, because the disk is full. What is over does no harm where it is.
    with suppress(sqlite3.OperationalError), transaction(connection):
        connection.execute("DELETE FROM day_uses WHERE ends_at <= ?", (now,))
        connection.execute("DELETE FROM benches WHERE until <= ?", (now,))
    day_uses = connection.execute("SELECT * FROM day_uses WHERE ends_at > ?", (now,))
    benches = connection.execute("SELECT * FROM benches WHERE until > ?", (now,))
    learned = connection.execute("SELECT * FROM learned")
    return Ledgers(
        tuple(DayUse(*row) for row in day_uses),
        tuple(
            Bench(provider, project, key or None, model or None, until, reason)
            for provider, project, key, model, until, reason in benches
        ),
        tuple(
            Learned(provider, project, scope, Quota(rpm=rpm, tpm=tpm, rpd=rpd, tpd=tpd, concurrency=concurrency))
            for provider, project, scope, rpm, tpm, rpd, tpd, concurrency in learned
        ),
    )


def _save(connection: sqlite3.Connection, ledgers: Ledgers) -> None:
    with transaction(connection):
        connection.executemany(
            "REPLACE INTO day_uses VALUES (?, ?, ?, ?, ?, ?)", map(msgspec.structs.astuple, ledgers.day_uses)
        )
        connection.executemany(
            "REPLACE INTO benches VALUES (?, ?, ?, ?, ?, ?)",
            [(*bench.key, bench.until, _text(bench.reason)) for bench in ledgers.benches],
        )
        connection.execute("DELETE FROM benches WHERE until <= 0")
        connection.executemany(
            "REPLACE INTO learned VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*learned.key, *_limits(learned.quota)) for learned in ledgers.learned],
        )


def _text(reason: str) -> str:
    """Return a provider's words without what is no text, such as half a surrogate pair."""
    return reason.encode(errors="replace").decode()


def _limits(quota: Quota) -> list[int | None]:
    limits = (quota.rpm, quota.tpm, quota.rpd, quota.tpd, quota.concurrency)
    return [None if limit is None else min(limit, _LARGEST) for limit in limits]


_Row = TypeVar("_Row", DayUse, Bench, Learned)


def _latest(rows: Iterable[_Row]) -> tuple[_Row, ...]:
    return tuple({row.key: row for row in rows}.values())

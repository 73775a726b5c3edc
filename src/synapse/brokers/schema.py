"""The tables of the store, as a history of versions."""

from __future__ import annotations

from synapse.brokers.database import Migration

MIGRATIONS: tuple[Migration, ...] = (
    (
        """
        CREATE TABLE day_uses (
            provider TEXT NOT NULL,
            project TEXT NOT NULL,
            scope TEXT NOT NULL,
            ends_at REAL NOT NULL,
            requests INTEGER NOT NULL,
            tokens INTEGER NOT NULL,
            PRIMARY KEY (provider, project, scope)
        ) WITHOUT ROWID
        """,
        # An empty key_id or model stands for none: NULL is never equal to itself, so it would be no key.
        """
        CREATE TABLE benches (
            provider TEXT NOT NULL,
            project TEXT NOT NULL,
            key_id TEXT NOT NULL,
            model TEXT NOT NULL,
            until REAL NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (provider, project, key_id, model)
        ) WITHOUT ROWID
        """,
        """
        CREATE TABLE learned (
            provider TEXT NOT NULL,
            project TEXT NOT NULL,
            scope TEXT NOT NULL,
            rpm INTEGER,
            tpm INTEGER,
            rpd INTEGER,
            tpd INTEGER,
            concurrency INTEGER,
            PRIMARY KEY (provider, project, scope)
        ) WITHOUT ROWID
        """,
    ),
)
"""The schema's history: what has been released is never changed, only added to."""

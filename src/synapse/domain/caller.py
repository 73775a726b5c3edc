"""Who sends tasks."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Band(StrEnum):
    """A priority class, the most urgent first: strict between bands, fair within one."""

    INTERACTIVE = "interactive"
    STANDARD = "standard"
    BATCH = "batch"

    @property
    def rank(self) -> int:
        """Its place: 0 is the most urgent."""
        return _RANKS[self]


_RANKS = {band: rank for rank, band in enumerate(Band)}


class Caller(msgspec.Struct, frozen=True):
    """Who sends tasks: the unit of fairness and of accounting."""

    name: str
    weight: float = 1.0
    """Its share of what callers of the same band compete for, in proportion to the weights of the others."""
    band: Band = Band.INTERACTIVE
    """The most urgent band it may use."""
    max_concurrency: int | None = None
    """How many of its tasks may run at once."""
    models: frozenset[str] | None = None
    """The model codes it may use; None is all."""
    admin: bool = False
    """Whether it may see how the keys stand."""


ANONYMOUS = Caller("anonymous", admin=True)
"""Everybody, where callers are not told apart."""

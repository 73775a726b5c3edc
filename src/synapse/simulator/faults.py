"""What goes wrong on purpose."""

from __future__ import annotations

import random
from enum import StrEnum

import msgspec


class FaultKind(StrEnum):
    """What can go wrong with an answer on purpose."""

    RATE_LIMITED = "429"
    """A 429 that says nothing about a quota, and nothing about when to come back."""
    INTERNAL = "500"
    UNAVAILABLE = "503"
    CUT = "cut"
    """The connection closes in the middle of the answer."""
    STALL = "stall"
    """The answer stops coming, and the connection stays open."""
    MALFORMED = "malformed"
    """A piece of the answer is no JSON."""
    SLOW = "slow"
    """The answer takes ten times as long, and a second at least."""


class Fault(msgspec.Struct, frozen=True):
    """How often something goes wrong."""

    rate: float
    """The share of requests it happens to, from 0 to 1."""
    kind: FaultKind


class Roll(msgspec.Struct, frozen=True):
    """What goes wrong with one answer."""

    kind: FaultKind
    share: float
    """How much of the answer is sent before it does, from 0 to 1."""


class Dice:
    """Decides, request by request, what goes wrong."""

    def __init__(self, faults: tuple[Fault, ...], seed: int) -> None:
        """Take how often each fault happens."""
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311 - no secret is made of it

    def roll(self) -> Roll | None:
        """Return what goes wrong with the next answer; the faults exclude each other."""
        if not self._faults:
            return None
        point = self._random.random()
        for fault in self._faults:
            point -= fault.rate
            if point < 0:
                return Roll(fault.kind, self._random.random())
        return None


def parse_fault(text: str) -> Fault:
    """Read `RATE:KIND`, like `0.1:429`. Raises `ValueError` saying what was expected."""
    rate, _, kind = text.partition(":")
    kinds = ", ".join(FaultKind)
    if kind not in FaultKind.__members__.values():
        raise ValueError(f"{text!r}: expected RATE:KIND with a KIND of {kinds}")
    try:
        share = float(rate)
    except ValueError:
        raise ValueError(f"{text!r}: RATE is a number from 0 to 1, like 0.1:{kind}") from None
    if not 0 <= share <= 1:
        raise ValueError(f"{text!r}: RATE is a share of all requests, from 0 to 1")
    return Fault(share, FaultKind(kind))

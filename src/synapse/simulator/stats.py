"""What the simulator has seen: requests, refusals and concurrency of each key and model."""

from __future__ import annotations

from collections import Counter as Counts

import msgspec

from synapse.simulator.accounts import QuotaStats
from synapse.simulator.faults import FaultKind


class KeyStats(msgspec.Struct, frozen=True):
    """What one key asked of one model."""

    key: str
    """Its last four characters; empty where there was none."""
    model: str
    """Empty where the request did not say it in a way that could be read."""
    requests: int
    """Requests for text, refused ones included."""
    rate_limited: int
    """Those answered 429."""
    in_flight: int
    """Requests that are being answered now."""
    max_in_flight: int
    """The most there ever were at once."""
    disconnects: int
    """Callers that went away before the end of their answer."""
    quota_429s: int = 0
    """Those of `rate_limited` that would have exceeded a limit; the others went wrong on purpose."""


class Stats(msgspec.Struct, frozen=True):
    """What the simulator has seen since it began, or since the last reset."""

    requests: int
    rate_limited: int
    in_flight: int
    max_in_flight: int
    disconnects: int
    keys: tuple[KeyStats, ...]
    quota_429s: int = 0
    quotas: tuple[QuotaStats, ...] = ()
    """How each quota was kept, where there are any."""
    started_at: float = 0.0
    """When it began, in seconds since the epoch."""
    faults: dict[FaultKind, int] = {}
    """How often which thing went wrong on purpose."""


class Tally:
    """The running counts of one key and model, or of all of them."""

    __slots__ = ("disconnects", "in_flight", "max_in_flight", "quota_429s", "rate_limited", "requests")

    def __init__(self) -> None:
        """Begin at nothing."""
        self.requests = self.rate_limited = self.quota_429s = self.disconnects = 0
        self.in_flight = self.max_in_flight = 0

    def enter(self, *, rate_limited: bool, over_quota: bool) -> None:
        """Count a request that is going to be answered."""
        self.requests += 1
        self.rate_limited += rate_limited
        self.quota_429s += over_quota
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self, *, disconnected: bool) -> None:
        """Count its end."""
        self.in_flight -= 1
        self.disconnects += disconnected

    def reset(self) -> None:
        """Forget all but what is still going on."""
        self.requests = self.rate_limited = self.quota_429s = self.disconnects = 0
        self.max_in_flight = self.in_flight


class Counter:
    """Counts for each key and model, and for all together."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._total = Tally()
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._faults: Counts[FaultKind] = Counts()

    def tallies(self, key: str, model: str) -> tuple[Tally, Tally]:
        """Return the counts that a request belongs in."""
        tally = self._tallies.get((key, model))
        if tally is None:
            tally = self._tallies[key, model] = Tally()
        return self._total, tally

    def fault(self, kind: FaultKind) -> None:
        """Count an answer that is to go wrong."""
        self._faults[kind] += 1

    def reset(self) -> None:
        """Forget all but what is still going on."""
        self._faults.clear()
        self._tallies = {names: tally for names, tally in self._tallies.items() if tally.in_flight}
        for tally in (self._total, *self._tallies.values()):
            tally.reset()

    def stats(self, quotas: tuple[QuotaStats, ...], started_at: float) -> Stats:
        """Return the counts as they are now, beside how quotas were kept since it began."""
        rows = sorted(self._tallies.items(), key=lambda row: (row[0][0][-4:], row[0][1]))
        keys = tuple(
            KeyStats(key[-4:], model, *_values(tally), quota_429s=tally.quota_429s) for (key, model), tally in rows
        )
        return Stats(
            *_values(self._total),
            keys,
            quota_429s=self._total.quota_429s,
            quotas=quotas,
            started_at=started_at,
            faults={**self._faults},
        )


def _values(tally: Tally) -> tuple[int, int, int, int, int]:
    return tally.requests, tally.rate_limited, tally.in_flight, tally.max_in_flight, tally.disconnects

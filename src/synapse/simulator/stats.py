"""What the simulator has seen: requests, refusals and concurrency of each key and model."""

from __future__ import annotations

import msgspec


class KeyStats(msgspec.Struct, frozen=True):
    """What one key asked of one model."""

    key: str
    """Its last four characters."""
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


class Stats(msgspec.Struct, frozen=True):
    """What the simulator has seen since it began, or since the last reset."""

    requests: int
    rate_limited: int
    in_flight: int
    max_in_flight: int
    disconnects: int
    keys: tuple[KeyStats, ...]


class Tally:
    """The running counts of one key and model, or of all of them."""

    __slots__ = ("disconnects", "in_flight", "max_in_flight", "rate_limited", "requests")

    def __init__(self) -> None:
        """Begin at nothing."""
        self.requests = self.rate_limited = self.in_flight = self.max_in_flight = self.disconnects = 0

    def enter(self, *, rate_limited: bool) -> None:
        """Count a request that is going to be answered."""
        self.requests += 1
        self.rate_limited += rate_limited
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self, *, disconnected: bool) -> None:
        """Count its end."""
        self.in_flight -= 1
        self.disconnects += disconnected

    def reset(self) -> None:
        """Forget all but what is still going on."""
        self.requests = self.rate_limited = self.disconnects = 0
        self.max_in_flight = self.in_flight


class Counter:
    """Counts for each key and model, and for all together."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self._total = Tally()
        self._tallies: dict[tuple[str, str], Tally] = {}

    def tallies(self, key: str, model: str) -> tuple[Tally, Tally]:
        """Return the counts that a request belongs in."""
        tally = self._tallies.get((key, model))
        if tally is None:
            tally = self._tallies[key, model] = Tally()
        return self._total, tally

    def reset(self) -> None:
        """Forget all but what is still going on."""
        self._tallies = {names: tally for names, tally in self._tallies.items() if tally.in_flight}
        for tally in (self._total, *self._tallies.values()):
            tally.reset()

    def stats(self) -> Stats:
        """Return the counts as they are now."""
        rows = sorted(self._tallies.items(), key=lambda row: (row[0][0][-4:], row[0][1]))
        keys = tuple(KeyStats(key[-4:], model, *_values(tally)) for (key, model), tally in rows)
        return Stats(*_values(self._total), keys)


def _values(tally: Tally) -> tuple[int, int, int, int, int]:
    return tally.requests, tally.rate_limited, tally.in_flight, tally.max_in_flight, tally.disconnects

"""What the figures of a run mean: plain arithmetic."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from math import ceil, inf
from statistics import median
from typing import TYPE_CHECKING

import msgspec

from synapse.simulator import Stats, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from acceptance.calls import Call

MINUTE = 60.0
A_SECOND = 1.0


def optimum(total: int, per_minute: int, into_minute: float = 0.0) -> float:
    """Return the seconds that so many requests or tokens take at least, where so many fit into each minute.

    The first minute's go at once, and each further minute's when it opens: `into_minute` is how much of the first one
    had passed at the start, where minutes are those of the clock. No order can do better, since no minute carries more.
    """
    minutes = ceil(total / per_minute)
    return max(0.0, (minutes - 1) * MINUTE - into_minute)


class Refusals(msgspec.Struct, frozen=True):
    """How often quotas refused a request."""

    total: int = 0
    first: int = 0
    """At first contact, where that was most: in the minute in which the first refusal of a project and model fell."""
    worst: int = 0
    """In any minute after that, where that was most."""


def refusals(stats: Stats, window: Window) -> Refusals:
    """Return the refusals that a simulator counted."""
    found = [_contact([stats.started_at + at for at in row.refused_at], window) for row in stats.quotas]
    first = max((count for count, _ in found), default=0)
    worst = max((count for _, count in found), default=0)
    return Refusals(stats.quota_429s, first, worst)


def _contact(at: Sequence[float], window: Window) -> tuple[int, int]:
    """Return how many of some instants are in the first minute, and in the fullest one after that."""
    if not at:
        return 0, 0
    if window is Window.FIXED:
        minutes = Counter(int(instant // MINUTE) for instant in at)
        first = minutes.pop(min(minutes))
        return first, max(minutes.values(), default=0)
    later = at[bisect_left(at, at[0] + MINUTE) :]
    fullest = max((bisect_left(later, instant + MINUTE) - place for place, instant in enumerate(later)), default=0)
    return len(at) - len(later), fullest


def limits_met_at(stats: Stats) -> float:
    """Return when every limit that was ever met had been met once, in seconds since the epoch: nobody knows it before.

    Minus infinity where none was.
    """
    return max((stats.started_at + row.refused_at[0] for row in stats.quotas if row.refused_at), default=-inf)


def estimate_error(calls: Iterable[Call], latency: float, since: float = -inf) -> float | None:
    """Return by how much the first estimate of a start was wrong, relative to the wait it was of: the median of all.

    Only those told since an instant count, and a wait of less than a second counts as one. None where nobody was told
    an estimate and answered then.
    """
    errors = []
    for call in calls:
        told = next((told for told in call.estimates if told[0] >= since), None)
        if told is not None and call.succeeded:
            wait = call.started(latency) - told[0]
            errors.append(abs(told[1] - wait) / max(wait, A_SECOND))
    return median(errors) if errors else None


def idle_waits(urgent: Sequence[tuple[float, float]], starts: Iterable[float], capacity: int) -> list[float]:
    """Return by how many seconds each urgent task started later than the next permit for it opened.

    `urgent` has when each was submitted and started, `starts` all starts there were, `capacity` is how many of those
    any minute may hold. The permit of a task is the first that is free or opens, after those of the urgent tasks that
    were waiting already.
    """
    ordered = sorted(starts)
    late = []
    for submitted, started in urgent:
        recent = ordered[bisect_right(ordered, submitted - MINUTE) : bisect_right(ordered, submitted)]
        ahead = sum(other < submitted < begun for other, begun in urgent)
        place = len(recent) + ahead - capacity
        opens = submitted if place < 0 else recent[min(place, len(recent) - 1)] + MINUTE
        late.append(started - max(opens, submitted))
    return late


def spare_shares(urgent: Iterable[float], batch: Iterable[float], capacity: int, minutes: int) -> list[float]:
    """Return which share of what the urgent tasks left over was used by the batch, in each of the first minutes.

    Minutes count from the first start of all.
    """
    above, below = sorted(urgent), sorted(batch)
    begin = min(above[:1] + below[:1])
    shares = []
    for minute in range(minutes):
        first, last = begin + minute * MINUTE, begin + (minute + 1) * MINUTE
        taken = bisect_left(above, last) - bisect_left(above, first)
        used = bisect_left(below, last) - bisect_left(below, first)
        shares.append(used / (capacity - taken))
    return shares


def alternation(order: Sequence[str], name: str) -> int:
    """Return how many positions, at most, the places of a name are from taking every second one.

    They count from its first place on.
    """
    places = [place for place, each in enumerate(order) if each == name]
    return max((abs(place - places[0] - 2 * number) for number, place in enumerate(places)), default=0)

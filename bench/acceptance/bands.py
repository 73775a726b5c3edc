"""Bands: the urgent before the batch, which has all the rest."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from acceptance.calls import Call
from acceptance.judging import estimate_error, idle_waits, optimum, refusals, spare_shares
from acceptance.report import Check, Report, all_succeeded, at_least, at_most, equal, estimates_hold, windows_kept
from acceptance.setup import LATENCY, PROJECTS, Bench, bench
from plan import percentile
from synapse.simulator import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

RPM = 300
CAPACITY = RPM * len(PROJECTS)
BATCH = 2000
EACH = 1.0
"""Seconds between two interactive tasks."""
SPARE = 0.95
LATE = 1.5
"""Seconds after a permit opens in which it is used: the margin that is kept from a window's end, and what moments take.
"""
FULL_MINUTES = 2
"""Minutes through which the flood waits: it is more than they hold."""


async def flood(name: str) -> Report:
    """2,000 batch tasks at once, and an interactive one each second until they are done; three projects of 300 rpm.

    An interactive task waits no longer than until the next permit opens, and the batch has of each full minute at least
    95 % of what the interactive tasks leave. The optimum: 900 of all tasks in each minute.
    """
    async with bench(f"--rpm={RPM}", "--window=trailing", limits={"rpm": RPM}) as run:
        batch = [Call(priority="batch") for _ in range(BATCH)]
        begin = time.monotonic()
        urgent = await _trickle(run, batch)
        seconds = time.monotonic() - begin
        stats = await run.provider.stats()
    seen = refusals(stats, Window.TRAILING)
    calls = [*batch, *urgent]
    error = estimate_error(calls, LATENCY)
    return Report(
        name=name,
        checks=(
            all_succeeded(calls),
            windows_kept(stats),
            at_most("quota 429s", seen.total, 0),
            estimates_hold(error),
            *_shares(urgent, batch),
        ),
        tasks=len(calls),
        succeeded=sum(call.succeeded for call in calls),
        refusals=seen,
        seconds=seconds,
        optimum=optimum(len(calls), CAPACITY),
        estimate_error=error,
    )


async def _trickle(run: Bench, batch: Sequence[Call]) -> list[Call]:
    """Send the flood, and an interactive task each second until it is over; return those when all are answered."""
    urgent: list[Call] = []
    async with asyncio.TaskGroup() as going:
        flooding = going.create_task(run.callers.send_all(batch))
        while not flooding.done():
            urgent.append(Call(priority="interactive"))
            going.create_task(run.callers.send(urgent[-1]))
            await asyncio.wait([flooding], timeout=EACH)
    return urgent


def _shares(urgent: Sequence[Call], batch: Sequence[Call]) -> list[Check]:
    waits = [(call.submitted, call.started(LATENCY)) for call in urgent if call.succeeded]
    filled = [call.started(LATENCY) for call in batch if call.succeeded]
    if not waits or not filled:
        return [equal("interactive and batch tasks that were answered", (len(waits), len(filled)), "some of both")]
    starts = [started for _, started in waits]
    late = percentile(sorted(idle_waits(waits, [*starts, *filled], CAPACITY)), 0.99)
    used = min(spare_shares(starts, filled, CAPACITY, FULL_MINUTES))
    return [
        at_most("p99 of seconds that interactive tasks waited beyond the next permit", late, LATE),
        at_least("share of what was spare that the batch used, in its worst minute", used, SPARE),
    ]

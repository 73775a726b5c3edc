"""Minutes: as much as the keys of several projects may carry in them, as soon as they may, and no request more."""

from __future__ import annotations

import random
import time
from math import inf
from typing import TYPE_CHECKING

import msgspec

from acceptance.calls import Call
from acceptance.judging import estimate_error, limits_met_at, optimum, refusals
from acceptance.report import SLOWEST, Check, Report, all_succeeded, at_most, estimates_hold, windows_kept
from acceptance.setup import LATENCY, PROJECTS, Bench, bench, minute_begun
from synapse.simulator import Window

if TYPE_CHECKING:
    from acceptance.judging import Refusals

RPM = 30
TASKS = 180
TPM = 250_000
LONGEST, SHORTEST = 50_000, 10
"""Tokens of a prompt."""
FIRST_CONTACT = 3
LATER = 1
ARRIVED = 0.5
"""Seconds after a refusal in which what it says is surely known."""
_WORD = "abc "
"""As long as a token is on the average."""


class Work(msgspec.Struct, frozen=True):
    """What is to be done."""

    calls: list[Call]
    total: int
    """Their requests or tokens: what a minute limits."""
    per_minute: int
    """How much of it each project may have."""


async def requests(
    name: str, *, window: Window, configured: bool = True, band: str | None = None, bodies: str = "full"
) -> Report:
    """180 tasks at once for three projects of 30 requests a minute each, all of one band.

    The optimum: 90 at once, and 90 when the next minute opens, which for trailing minutes is after 60 s, and for those
    of the clock at the next full one; the run begins right after a full one. With configured limits, no request is
    refused. Without, a few are while the limits are being learned, no time is asked for, and estimates count from when
    each limit has been met.
    """
    limits = {"rpm": RPM} if configured else None
    arguments = (f"--rpm={RPM}", f"--window={window}", f"--bodies={bodies}")
    async with bench(*arguments, limits=limits) as run:
        work = Work([Call(priority=band) for _ in range(TASKS)], TASKS, RPM)
        return await _timed(name, run, work, window, configured=configured)


async def tokens(name: str, *, window: Window) -> Report:
    """Prompts of 10 to 50,000 tokens at once, for three projects of 250,000 input tokens a minute each.

    The sizes are spread evenly over their orders of magnitude, and there are so many prompts as fill 1.6 minutes of all
    projects: whatever the order, no project's minute has less than a longest prompt left unused, so the rest fits into
    the second one. The optimum is that of `requests`: what exceeds the first minute's tokens goes when the next opens.
    """
    async with bench(f"--tpm={TPM}", f"--window={window}", limits={"tpm": TPM}) as run:
        sizes = prompt_sizes(round(1.6 * TPM * len(PROJECTS)))
        work = Work([Call(prompt=_WORD * size) for size in sizes], sum(sizes), TPM)
        return await _timed(name, run, work, window, configured=True)


def prompt_sizes(total: int) -> list[int]:
    """Return the sizes of so many tokens' worth of prompts, the same ones every time."""
    dice = random.Random(0)  # noqa: S311 - no secret is made of it
    sizes: list[int] = []
    while sum(sizes) < total:
        sizes.append(round(SHORTEST * (LONGEST / SHORTEST) ** dice.random()))
    return sizes[:-1]


async def _timed(name: str, run: Bench, work: Work, window: Window, *, configured: bool) -> Report:
    calls = work.calls
    into = await minute_begun() if window is Window.FIXED else 0.0
    begin = time.monotonic()
    await run.callers.send_all(calls)
    seconds = time.monotonic() - begin
    stats = await run.provider.stats()
    seen = refusals(stats, window)
    best = optimum(work.total, work.per_minute * len(PROJECTS), into)
    known = limits_met_at(stats) + ARRIVED - time.time() + time.monotonic()
    error = estimate_error(calls, LATENCY, -inf if configured else known)
    strict = [at_most("quota 429s", seen.total, 0), at_most("seconds", seconds, SLOWEST * best)]
    return Report(
        name=name,
        checks=(
            all_succeeded(calls),
            windows_kept(stats),
            estimates_hold(error),
            *(strict if configured else learned(seen)),
        ),
        tasks=len(calls),
        succeeded=sum(call.succeeded for call in calls),
        refusals=seen,
        seconds=seconds,
        optimum=best,
        estimate_error=error,
    )


def learned(seen: Refusals) -> list[Check]:
    """Check that limits were learned at a small cost, and kept from then on."""
    return [
        at_most("quota 429s of a project and model at first contact", seen.first, FIRST_CONTACT),
        at_most("quota 429s of a project and model in a later minute", seen.worst, LATER),
    ]

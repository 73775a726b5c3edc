"""Days: the last permit of one is used, and no key is tried again before the next, whatever happens to the process."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from acceptance.calls import Call
from acceptance.judging import refusals
from acceptance.report import Check, Report, all_succeeded, at_most, equal, windows_kept
from acceptance.setup import PROJECTS, Bench, bench
from acceptance.windows import learned
from synapse.simulator import Window
from synapse.simulator.quota import midnight_after

if TYPE_CHECKING:
    from collections.abc import Sequence

RPD = 10
PERMITS = RPD * len(PROJECTS)
WAITING = 5
LONG = 200_000
"""Seconds; longer than any day."""
IMPATIENT = 5.0
AT_ONCE = 1.0
TRUE = 60.0
"""Seconds that an estimate of midnight may be wrong by."""
TOLD_WITHIN = 10.0
"""Seconds in which whoever waits must have been told how long."""
_PACIFIC = ZoneInfo("America/Los_Angeles")
_ROOM = 300.0
_SECTIONS: dict[str, object] = {"queue": {"max_wait": LONG, "timeout": LONG}}


async def configured(name: str) -> Report:
    """Three projects of ten requests a day, as configured; restarts before and after the last of them.

    20 tasks, SIGTERM, 10 more: the day's last permits are used. Whoever comes then waits, and is told until when, or
    does not want to wait so long and is refused at once with the seconds until then. The same after kill -9 and after
    another SIGTERM, and the provider has not seen one request more.
    """
    async with bench(f"--rpd={RPD}", limits={"rpd": RPD}, sections=_SECTIONS) as run:
        await _far_from_midnight()
        begin = time.monotonic()
        calls = await run.callers.send_all([Call() for _ in range(PERMITS - RPD)])
        checks = [await _restarted(run, signal.SIGTERM)]
        calls += await run.callers.send_all([Call() for _ in range(RPD)])
        checks += await _spent(run)
        checks += await _still_spent(run)
        stats = await run.provider.stats()
        checks.append(equal("quota 429s", stats.quota_429s, 0))
        return await _report(name, run, calls, checks, time.monotonic() - begin)


async def unconfigured(name: str) -> Report:
    """The same with limits that are not configured: the first refusals of those who come too late teach them."""
    async with bench(f"--rpd={RPD}", sections=_SECTIONS) as run:
        await _far_from_midnight()
        begin = time.monotonic()
        calls = await run.callers.send_all([Call() for _ in range(PERMITS)])
        checks = _told(await _wait(run))
        before = await run.provider.stats()
        checks += learned(refusals(before, Window.FIXED))
        checks += await _spent(run)
        checks += await _still_spent(run)
        after = await run.provider.stats()
        checks.append(equal("quota 429s after the keys were known to be spent", after.quota_429s, before.quota_429s))
        return await _report(name, run, calls, checks, time.monotonic() - begin)


async def _report(name: str, run: Bench, calls: list[Call], checks: list[Check], seconds: float) -> Report:
    stats = await run.provider.stats()
    used = stats.requests - stats.quota_429s
    return Report(
        name=name,
        checks=(all_succeeded(calls), windows_kept(stats), equal("permits used", used, PERMITS), *checks),
        tasks=len(calls),
        succeeded=sum(call.succeeded for call in calls),
        refusals=refusals(stats, Window.FIXED),
        seconds=seconds,
    )


async def _still_spent(run: Bench) -> list[Check]:
    """Restart in both ways, and see that nothing has been forgotten."""
    checks = []
    for number in (signal.SIGKILL, signal.SIGTERM):
        checks.append(await _restarted(run, number))
        checks += await _spent(run)
    return checks


async def _restarted(run: Bench, number: signal.Signals) -> Check:
    expected = -number if number == signal.SIGKILL else 0
    return equal(f"exit code after {number.name}", await run.server.restart(number), expected)


async def _spent(run: Bench) -> list[Check]:
    """Check that who cannot wait until midnight is refused at once, and that others wait for it and know it."""
    impatient = await run.callers.send(Call(max_wait=IMPATIENT))
    return [*_refused(impatient), *_told(await _wait(run))]


async def _wait(run: Bench) -> list[Call]:
    """Let some tasks wait until they have been told for how long, and go."""
    waiting = [Call() for _ in range(WAITING)]
    going = [asyncio.ensure_future(run.callers.send(call)) for call in waiting]
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(TOLD_WITHIN):
                await asyncio.gather(*(call.waiting.wait() for call in waiting))
    finally:
        for each in going:
            each.cancel()
        await asyncio.gather(*going, return_exceptions=True)
    return waiting


def _told(waiting: Sequence[Call]) -> list[Check]:
    told = [seconds for call in waiting for _, seconds in call.estimates[:1]]
    left = until_midnight()
    wrong = max((abs(seconds - left) for seconds in told), default=0.0)
    return [equal("tasks told how long they wait", len(told), len(waiting)), at_most("error of midnight", wrong, TRUE)]


def _refused(call: Call) -> list[Check]:
    refused = call.failure is not None and call.failure.startswith("429")
    wrong = abs((call.retry_after or 0.0) - until_midnight())
    seconds = (call.ended or float("inf")) - call.submitted
    return [
        Check(f"an impatient task is refused: {call.failure}", refused),
        at_most("seconds until it was", seconds, AT_ONCE),
        at_most("error of its Retry-After", wrong, TRUE),
    ]


def until_midnight() -> float:
    """Return the seconds until the provider's day ends."""
    now = time.time()
    return midnight_after(now, _PACIFIC) - now


async def _far_from_midnight() -> None:
    """Wait until the day will not end within the run."""
    left = until_midnight()
    if left < _ROOM:
        await asyncio.sleep(left + 1)

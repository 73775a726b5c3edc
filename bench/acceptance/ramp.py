"""First contact with a provider that limits nothing: soon at full speed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from acceptance.calls import Call
from acceptance.report import Report, all_succeeded, at_least, at_most
from acceptance.setup import bench

if TYPE_CHECKING:
    from acceptance.setup import Bench

TASKS = 500
LATENCY = 0.3
ROUND_TRIPS = 10
LOOK_AGAIN = 0.01


async def first_contact(name: str) -> Report:
    """500 tasks at once for one key of which nothing is known, at a provider that answers in 0.3 s and limits nothing.

    As many are under way as there are slots, within the time of ten answers from the first request on.
    """
    async with bench(keys={"p": "only-key-0001"}, latency=LATENCY) as run:
        calls = [Call(stream=False) for _ in range(TASKS)]
        begin = time.monotonic()
        async with asyncio.TaskGroup() as group:
            going = group.create_task(run.callers.send_all(calls))
            first, _ = await _reached(1, run, going)
            full, most = await _reached(run.server.slots, run, going)
        seconds = time.monotonic() - begin
    return Report(
        name=name,
        checks=(
            all_succeeded(calls),
            at_least("requests at once", most, min(run.server.slots, TASKS)),
            at_most("round trips until there were", (full - first) / LATENCY, ROUND_TRIPS),
        ),
        tasks=len(calls),
        succeeded=sum(call.succeeded for call in calls),
        seconds=seconds,
    )


async def _reached(enough: int, run: Bench, going: asyncio.Task[list[Call]]) -> tuple[float, int]:
    """Return when enough requests were under way, or all was over, and how many there were."""
    most = 0
    while most < enough and not going.done():
        most = (await run.provider.stats()).max_in_flight
        await asyncio.sleep(LOOK_AGAIN)
    return time.monotonic(), most

"""Chaos: answers that fail in every way, keys that are no good, and every task is answered all the same."""

from __future__ import annotations

import time

from acceptance.calls import Call
from acceptance.judging import refusals
from acceptance.report import Check, Report, all_succeeded, at_most, equal
from acceptance.setup import KEYS, bench
from acceptance.windows import FIRST_CONTACT
from synapse.simulator import FaultKind, Stats, Window

TASKS = 1000
DEAD, SPENT = "key-that-is-dead", "key-that-is-gone"
FAULTS = {"429": 0.1, "500": 0.05, "cut": 0.05, "stall": 0.02}
ATTEMPTS = 6
"""An attempt fails for one task of eight (a 429 is none): by the usual four, one run in five would lose a task."""
PATIENCE = 3.0
"""Seconds; what stalls is given up after them."""


async def chaos(name: str) -> Report:
    """1,000 plain tasks; 10 % of the calls are answered 429, 5 % 500, 5 % are cut and 2 % stall; five keys.

    One key is dead and one has spent its day. All tasks are answered, the provider has seen no call but one for each
    answer and one for each failure it gave, and no task has had more attempts than it may. A 429 is none of them.
    """
    keys = {**KEYS, "dead": DEAD, "spent": SPENT}
    arguments = [f"--fail={rate}:{kind}" for kind, rate in FAULTS.items()]
    arguments += [f"--dead={DEAD}", "--limit=spent/*:rpd=20", f"--spent={SPENT}"]
    sections: dict[str, object] = {
        "retry": {"max_attempts": ATTEMPTS, "base_delay": 0.1},
        "providers": {"answer_timeout": PATIENCE, "stall_timeout": PATIENCE, "first_event_timeout": PATIENCE},
    }
    async with bench(*arguments, keys=keys, sections=sections) as run:
        begin = time.monotonic()
        calls = await run.callers.send_all([Call(stream=False) for _ in range(TASKS)])
        seconds = time.monotonic() - begin
        stats = await run.provider.stats()
        await run.server.stop()
        attempts = run.server.attempts()
    return Report(
        name=name,
        checks=(all_succeeded(calls), *_no_call_too_many(stats, attempts)),
        tasks=len(calls),
        succeeded=sum(call.succeeded for call in calls),
        refusals=refusals(stats, Window.FIXED),
        seconds=seconds,
    )


def _no_call_too_many(stats: Stats, attempts: list[int]) -> list[Check]:
    dead = sum(row.requests for row in stats.keys if row.key == DEAD[-4:])
    refused = stats.quota_429s + dead
    failed = sum(stats.faults.values())
    free = stats.faults.get(FaultKind.RATE_LIMITED, 0) + refused
    return [
        equal("calls beside those that failed or were refused", stats.requests - failed - refused, TASKS),
        equal("attempts of all tasks", sum(attempts), stats.requests - free),
        at_most("attempts of a task", max(attempts, default=0), ATTEMPTS),
        at_most("calls with the dead key", dead, FIRST_CONTACT),
        at_most("calls with the spent key", stats.quota_429s, FIRST_CONTACT),
    ]

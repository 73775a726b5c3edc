"""Callers of one band: each has its share, whatever the others send."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Self

from acceptance.calls import Call
from acceptance.judging import alternation
from acceptance.report import Report, all_succeeded, at_least, at_most, equal
from acceptance.setup import Bench, bench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

TURN = 0.05
"""Seconds that each task takes; there is one at a time."""
WAITING = 1000
FEW = 20
WARM = 20
"""Tasks after which all callers' tasks are surely there."""
MANY = 400
"""Tasks of which the shares are taken."""
BEFORE = 3
"""Tasks of a flood that may end before the first of another caller's: the one under way, the one whose turn it is, and
one that began while the others were on their way to the server."""
OFF = 0.05


async def equal_weights(name: str) -> Report:
    """Two callers of equal weights: one with 1,000 tasks waiting, the other sends 20; one task runs at a time.

    From the first of the 20 on, every second task is one of them, within one position.
    """
    async with _taking_turns({"many": 1.0, "few": 1.0}) as run, _Row(run) as row:
        begin = time.monotonic()
        row.send("many", WAITING)
        await row.grown_to(WARM)
        sent = len(row.order)
        few = row.send("few", FEW)
        calls = await asyncio.gather(*few)
        seconds, stats = time.monotonic() - begin, await run.provider.stats()
        later = row.order[sent:]
        before = later.index("few") if "few" in later else len(later)
        return Report(
            name=name,
            checks=(
                all_succeeded(calls),
                equal("quota 429s", stats.quota_429s, 0),
                at_most("tasks of the flood before the first of the few", before, BEFORE),
                at_most("positions from taking turns", alternation(later, "few"), 1),
            ),
            tasks=len(calls),
            succeeded=sum(call.succeeded for call in calls),
            seconds=seconds,
        )


async def unequal_weights(name: str) -> Report:
    """Two callers of weights 3 and 1, both with more than enough waiting: 400 tasks are shared 3:1, within 5 %."""
    async with _taking_turns({"three": 3.0, "one": 1.0}) as run, _Row(run) as row:
        begin = time.monotonic()
        row.send("three", WAITING)
        row.send("one", WAITING)
        await row.grown_to(WARM)
        await row.grown_to(WARM + MANY)
        counted = row.order[WARM : WARM + MANY]
        share = counted.count("three") / max(counted.count("one"), 1)
        return Report(
            name=name,
            checks=(at_least("share of 3:1", share, 3 * (1 - OFF)), at_most("share of 3:1", share, 3 * (1 + OFF))),
            tasks=MANY,
            succeeded=len(counted),
            seconds=time.monotonic() - begin,
        )


class _Row:
    """Sends tasks of several callers, and notes in which order they are answered. Leaving lets go of the others."""

    def __init__(self, run: Bench) -> None:
        self.order: list[str] = []
        self._run = run
        self._going: list[asyncio.Task[Call]] = []
        self._wanted = 0
        self._grown = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for each in self._going:
            each.cancel()
        await asyncio.gather(*self._going, return_exceptions=True)

    def send(self, name: str, count: int) -> list[asyncio.Task[Call]]:
        """Send so many tasks of a caller."""
        going = [asyncio.create_task(self._send(name)) for _ in range(count)]
        self._going += going
        return going

    async def grown_to(self, count: int) -> None:
        """Wait until so many tasks have been answered, or one has failed."""
        self._wanted = count
        self._grown.clear()
        if len(self.order) < count:
            await self._grown.wait()

    async def _send(self, name: str) -> Call:
        call = await self._run.callers.send(Call(stream=False, key=_key(name)))
        if call.succeeded:
            self.order.append(name)
        if len(self.order) >= self._wanted or not call.succeeded:
            self._grown.set()
        return call


@asynccontextmanager
async def _taking_turns(weights: Mapping[str, float]) -> AsyncIterator[Bench]:
    """Run with callers of these weights, and one key that carries one request at a time."""
    names = {name: f"KEY_OF_{name.upper()}" for name in weights}
    callers = [{"name": name, "key_env": names[name], "weight": weight} for name, weight in weights.items()]
    sections: dict[str, object] = {"server": {"http_port": 0, "grpc_port": 0, "callers": callers}}
    environ = {names[name]: _key(name) for name in weights}
    limits = {"concurrency": 1}
    async with bench(
        "--concurrency=1", limits=limits, keys={"p": "only-key-0001"}, sections=sections, environ=environ, latency=TURN
    ) as run:
        yield run


def _key(name: str) -> str:
    return f"synapse-key-of-{name}-0123456789"

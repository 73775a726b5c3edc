"""A load over HTTP that is cheap enough never to be the limit: raw protocols on uvloop, kept-alive connections.

    python bench/load.py '{"url": "http://127.0.0.1:8080/generate", "pid": SERVER, "connections": 32, "seconds": 3}'

Without a rate each connection asks again as soon as it has its answer. With one, requests are due at fixed instants and
latency counts from then, whether or not a connection was free: a server that stalls cannot hide what it delayed.
Takes a `Plan` and prints a `results.Sample`, both JSON.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop

from answers import MARK
from machine import Meter
from plan import Plan, Tally
from ticker import Ticker

if TYPE_CHECKING:
    from results import Sample

OK = 200
DRAIN_SECONDS = 10.0
MARK_BYTE = MARK.encode()


class Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, load: Load) -> None:
        """Belong to a load, whose `free` is told when the answer is complete."""
        self._load = load
        self._parser = httptools.HttpResponseParser(self)
        self._due = 0.0
        self._marks = 0
        self._tail = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        """Tell the load."""
        self._load.lost(self)

    def send(self, due: float) -> None:
        """Ask; `due` is when this should have happened."""
        self._due = due
        self._marks = 0
        self._tail = b""
        self.busy = True
        self.transport.write(self._load.message)

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below follow from it."""
        self._load.tally.reads += 1
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        """Count the texts in a piece of the answer."""
        if self._load.plan.stream:
            body = self._complete_events(body)
        marks = body.count(MARK_BYTE)
        self._marks += marks
        self._load.tally.events += marks

    def _complete_events(self, body: bytes) -> bytes:
        data = self._tail + body.replace(b"\r", b"")
        end = data.rfind(b"\n\n") + 2
        if end == 1:
            self._tail = data
            return b""
        events, self._tail = data[:end], data[end:]
        self._load.tally.arrived(events)
        return events

    def on_message_complete(self) -> None:
        """Judge the answer."""
        plan, tally = self._load.plan, self._load.tally
        tally.requests += 1
        if self._parser.get_status_code() != OK or (plan.marks and self._marks != plan.marks):
            tally.errors += 1
        if not plan.stream:
            tally.seconds.append(time.monotonic() - self._due)
        self.busy = False
        self._load.free(self)


class Load:
    """Keeps the connections busy, and sums up."""

    def __init__(self, plan: Plan) -> None:
        """Take the plan."""
        self.plan = plan
        self.message = plan.message()
        self.tally = Tally()
        self._idle: deque[Connection] = deque()
        self._overdue: deque[float] = deque()
        self._open: set[Connection] = set()
        self._enough = 0
        """So many answers end the window; 0 before it begins, and where time ends it."""
        self._done = asyncio.Event()
        self._quiet = asyncio.Event()
        """Nothing is under way any more."""
        self._next = self._next_overdue if plan.rate else self._next_now

    async def run(self) -> Sample:
        """Connect, warm up, measure, hang up."""
        await self._connect()
        ticker = Ticker(1 / self.plan.rate, self._due) if self.plan.rate else None
        await asyncio.sleep(self.plan.warmup)
        sample = await self._measure()
        if ticker is not None:
            ticker.close()
        await self._drain()
        for connection in list(self._open):
            connection.transport.abort()
        return sample

    def free(self, connection: Connection) -> None:
        """Give the connection its next request; it has none under way."""
        if self._enough and self.tally.requests >= self._enough:
            self._done.set()
        elif not self._done.is_set():
            self._next(connection)
        else:
            self._look_quiet()

    def lost(self, connection: Connection) -> None:
        """Go on without the connection."""
        self._open.discard(connection)
        if not self._done.is_set():
            self.tally.errors += 1
        if not self._open:
            self._done.set()
        self._look_quiet()

    async def _connect(self) -> None:
        host, _, port = urlsplit(self.plan.url).netloc.partition(":")
        loop = asyncio.get_running_loop()
        for _ in range(self.plan.connections):
            _, connection = await loop.create_connection(lambda: Connection(self), host, int(port))
            self._open.add(connection)
            self.free(connection)
            await asyncio.sleep(self.plan.ramp / self.plan.connections)

    async def _measure(self) -> Sample:
        self.tally = tally = Tally()
        self._enough = self.plan.requests
        meter = Meter(self.plan.pid)
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self.plan.requests else self.plan.seconds):
                await self._done.wait()
        now = time.monotonic()
        tally.seconds.extend(now - due for due in self._overdue)
        sample = tally.sample(meter)
        self._done.set()
        return sample

    async def _drain(self) -> None:
        """Let what is under way end: a server would go on with it, and spoil what is measured next."""
        self._look_quiet()
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._quiet.wait()

    def _look_quiet(self) -> None:
        if not any(connection.busy for connection in self._open):
            self._quiet.set()

    def _next_now(self, connection: Connection) -> None:
        connection.send(time.monotonic())

    def _next_overdue(self, connection: Connection) -> None:
        if self._overdue:
            connection.send(self._overdue.popleft())
        else:
            self._idle.append(connection)

    def _due(self, due: float) -> None:
        if self._idle:
            self._idle.popleft().send(due)
        else:
            self._overdue.append(due)


def run(plan: Plan) -> None:
    """Carry out the plan and print the sample."""
    print(msgspec.json.encode(uvloop.run(Load(plan).run())).decode())


if __name__ == "__main__":
    run(msgspec.json.decode(sys.argv[1], type=Plan))

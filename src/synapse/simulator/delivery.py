"""Sends an answer at its pace, as far as it is meant to get."""

from __future__ import annotations

import asyncio
from enum import Enum
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn._types import ASGISendCallable

    from synapse.domain.clock import Clock
    from synapse.simulator.connection import Connection
    from synapse.simulator.dialects.base import Headers, Reply, Stream

HEARTBEAT_SECONDS = 1.0
_EVENTS_PER_TURN = 32
"""How many events a stream sends before others have their turn, where it does not wait for its time anyway."""


class Ending(Enum):
    """How an answer ends."""

    WHOLE = "whole"
    BROKEN = "broken"
    """With a piece that cannot be read; what would follow is not sent."""
    CUT = "cut"
    """The connection closes."""
    STALL = "stall"
    """Nothing more comes, until the caller has had enough."""


class Plan(msgspec.Struct, frozen=True):
    """How to send an answer."""

    latency: float = 0.0
    """Seconds before the first token."""
    interval: float = 0.0
    """Seconds between two tokens."""
    coalesce: bool = False
    """Whether to send the tokens that have no time between them in one piece."""
    ending: Ending = Ending.WHOLE
    share: float = 0.0
    """How much of an answer that does not end well is sent, from 0 to 1."""
    broken: bytes = b""
    """What ends a broken stream."""


AT_ONCE = Plan()


class Delivery:
    """One answer on its way."""

    __slots__ = ("_clock", "_connection", "_plan", "_send")

    def __init__(self, plan: Plan, connection: Connection, clock: Clock, send: ASGISendCallable) -> None:
        """Take the way to the caller."""
        self._plan = plan
        self._connection = connection
        self._clock = clock
        self._send = send

    async def reply(self, reply: Reply, tokens: int) -> bool:
        """Send an answer in one piece, after the time its tokens take; return whether the caller waited for the end."""
        plan = self._plan
        seconds = plan.latency + plan.interval * max(0, tokens - 1)
        if plan.ending is Ending.STALL:
            return await self._connection.rest(None, self._clock)
        if seconds and not await self._connection.rest(seconds, self._clock):
            return False
        body, length = reply.body, len(reply.body)
        if plan.ending is not Ending.WHOLE:
            body = body[: int(length * plan.share)]
        if plan.ending is Ending.BROKEN:
            length = len(body)
        await self._start(reply.status, [*reply.headers, (b"content-length", b"%d" % length)])
        await self._put(body, more=plan.ending is Ending.CUT)
        if plan.ending is Ending.CUT:
            await self._connection.hang_up(self._clock)
        return True

    async def stream(self, stream: Stream) -> bool:
        """Send an answer piece by piece; return whether the caller waited for the end."""
        if stream.opening:
            await self._start(200, stream.headers)
            await self._put(stream.opening)
        if not await self._wait(self._plan.latency, stream.heartbeat):
            return False
        if not stream.opening:
            await self._start(200, stream.headers)
        if self._plan.ending is not Ending.WHOLE:
            return await self._break_off(stream)
        if self._plan.coalesce and not self._plan.interval:
            await self._put(b"".join((*stream.lead, *stream.tokens, *stream.tail)), more=False)
            return True
        if not await self._begin(stream, stream.tokens) or not await self._all(stream.tail, 0):
            return False
        await self._put(b"", more=False)
        return True

    async def _begin(self, stream: Stream, tokens: Iterable[bytes]) -> bool:
        """Send some tokens and what comes before them; return whether the caller waited for all of them."""
        return await self._all(stream.lead, 0) and await self._all(tokens, self._plan.interval)

    async def _break_off(self, stream: Stream) -> bool:
        """Send a part of the tokens, and end as planned."""
        sent = int(stream.count * self._plan.share)
        if not await self._begin(stream, islice(stream.tokens, sent)):
            return False
        if self._plan.ending is Ending.STALL:
            return await self._wait(None, stream.heartbeat)
        if self._plan.ending is Ending.BROKEN:
            await self._put(self._plan.broken, more=False)
        else:
            await self._connection.hang_up(self._clock)
        return True

    async def _all(self, pieces: Iterable[bytes], interval: float) -> bool:
        """Send pieces; return whether the caller waited for all of them."""
        due = self._clock.monotonic()
        for number, piece in enumerate(pieces):
            if interval and number:
                due += interval
                await self._wait(due - self._clock.monotonic(), b"")
            if number % _EVENTS_PER_TURN == _EVENTS_PER_TURN - 1:
                await asyncio.sleep(0)
            if self._connection.gone:
                return False
            await self._put(piece)
        return not self._connection.gone

    async def _wait(self, seconds: float | None, heartbeat: bytes) -> bool:
        """Wait, for ever where there is no time, sending heartbeats; return whether the caller still does."""
        while heartbeat and (seconds is None or seconds > HEARTBEAT_SECONDS):
            if not await self._connection.rest(HEARTBEAT_SECONDS, self._clock):
                return False
            await self._put(heartbeat)
            if seconds is not None:
                seconds -= HEARTBEAT_SECONDS
        if seconds is not None and seconds <= 0:
            return not self._connection.gone
        return await self._connection.rest(seconds, self._clock)

    async def _start(self, status: int, headers: Headers) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _put(self, body: bytes, *, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

"""Callers: real requests over HTTP, and what each of them saw."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

import aiohttp
import msgspec

MODEL = "m"
_OK = 200
_QUEUED = re.compile(rb"^: queued position=\d+ eta=(\d+(?:\.\d+)?)\s*$")
_PROMPT = "Say in a few words what a queue is for."


class Call(msgspec.Struct, kw_only=True, eq=False):
    """One task: what is asked, and what became of it. Instants are those of `time.monotonic`."""

    prompt: str = _PROMPT
    stream: bool = True
    priority: str | None = None
    max_wait: float | None = None
    key: str | None = None
    """The caller's Synapse key."""

    submitted: float = 0.0
    estimates: list[tuple[float, float]] = msgspec.field(default_factory=list)
    """When it was told how long it would still wait, and how many seconds that was; the first one first."""
    began: float | None = None
    """When the first of the answer came."""
    ended: float | None = None
    """When the last of it came."""
    failure: str | None = None
    """Why there is no answer, or no whole one."""
    retry_after: float | None = None
    waiting: asyncio.Event = msgspec.field(default_factory=asyncio.Event)
    """Set when it is told how long it will wait, and when it is over."""

    @property
    def succeeded(self) -> bool:
        """Whether there was an answer to its end."""
        return self.failure is None and self.ended is not None

    def started(self, latency: float) -> float:
        """Return about when the provider was asked; it takes so many seconds to the first of an answer."""
        first = self.began if self.stream else self.ended
        if first is None:
            raise ValueError("what was not answered was not started")
        return first - latency

    def body(self) -> dict[str, object]:
        """Return the request."""
        asked = {"priority": self.priority, "max_wait": self.max_wait}
        known = {name: value for name, value in asked.items() if value is not None}
        return {"prompt": self.prompt, "model_code": MODEL, "stream": self.stream, **known}


class Addressed(Protocol):
    """A server, which may be at another address after a restart."""

    url: str


class Callers:
    """Sends tasks to one server, each on a connection of its own."""

    def __init__(self, server: Addressed, session: aiohttp.ClientSession) -> None:
        """Take the server."""
        self._server = server
        self._session = session

    async def send(self, call: Call) -> Call:
        """Send a task and follow it to its end, whatever that is."""
        call.submitted = time.monotonic()
        try:
            await self._follow(call)
        except (aiohttp.ClientError, OSError) as error:
            call.failure = f"{type(error).__name__}: {error}"
        finally:
            call.waiting.set()
        return call

    async def send_all(self, calls: Iterable[Call]) -> list[Call]:
        """Send tasks at once, and follow them all to their ends."""
        return await asyncio.gather(*map(self.send, calls))

    async def _follow(self, call: Call) -> None:
        headers = {} if call.key is None else {"authorization": f"Bearer {call.key}"}
        async with self._session.post(f"{self._server.url}/generate", json=call.body(), headers=headers) as answer:
            if answer.status != _OK:
                await _refused(call, answer)
            elif call.stream:
                await _read_events(call, answer)
            else:
                await answer.read()
                call.ended = time.monotonic()


@asynccontextmanager
async def calling(server: Addressed) -> AsyncIterator[Callers]:
    """Be ready to call a server as often as one likes; what is still under way at the end of the block is let go."""
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Callers(server, session)


async def _refused(call: Call, answer: aiohttp.ClientResponse) -> None:
    call.failure = f"{answer.status} {await answer.text()}"
    after = answer.headers.get("retry-after")
    call.retry_after = None if after is None else float(after)
    call.ended = time.monotonic()


async def _read_events(call: Call, answer: aiohttp.ClientResponse) -> None:
    """Read a stream; one that ends without saying why it is over is no answer."""
    finished = False
    async for line in answer.content:
        if line.startswith(b"event: error"):
            call.failure = "the stream ended with an error"
        elif line.startswith(b"data: "):
            call.began = call.began or time.monotonic()
            finished = finished or b'"finish_reason"' in line
            if call.failure is not None:
                call.failure = line.decode().strip()
        elif queued := _QUEUED.match(line):
            call.estimates.append((time.monotonic(), float(queued[1])))
            call.waiting.set()
    call.ended = time.monotonic()
    if not finished and call.failure is None:
        call.failure = "the stream broke off"

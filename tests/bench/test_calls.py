"""Callers: what they make of an answer, whatever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from acceptance.calls import Call, Callers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EVENTS = [
    b": keepalive\n\n",
    b": queued position=7\n\n",
    b": queued position=3 eta=12.5\n\n",
    b": queued position=1 eta=2.0\n\n",
    b'id: 1-1\ndata: {"text":"a"}\n\n',
    b'id: 1-2\ndata: {"text":"","finish_reason":"stop"}\n\n',
]


class Upstream:
    """Answers every task alike, and keeps what was asked."""

    def __init__(self) -> None:
        """Begin with nothing asked."""
        self.url = ""
        self.asked: list[tuple[object, str | None]] = []
        self.status = 200
        self.pieces: list[bytes] = []
        self.headers: dict[str, str] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send what there is."""
        self.asked.append((await request.json(), request.headers.get("authorization")))
        response = web.StreamResponse(status=self.status, headers=self.headers)
        await response.prepare(request)
        for piece in self.pieces:
            await response.write(piece)
        return response


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    """Serve on a free port."""
    upstream = Upstream()
    app = web.Application()
    app.router.add_post("/generate", upstream.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield upstream
    await runner.cleanup()


@pytest.fixture
async def callers(upstream: Upstream) -> AsyncIterator[Callers]:
    """Return callers of it."""
    async with aiohttp.ClientSession() as session:
        yield Callers(upstream, session)


async def test_a_stream_is_read_to_its_end(upstream: Upstream, callers: Callers) -> None:
    """Estimates are kept in order, the first text is the beginning, and the finish the end."""
    upstream.pieces = EVENTS

    call = await callers.send(Call(priority="batch", key="k"))

    assert call.succeeded
    assert [seconds for _, seconds in call.estimates] == [12.5, 2.0]
    assert call.began is not None
    assert call.ended is not None
    assert call.submitted <= call.estimates[0][0] <= call.estimates[1][0] <= call.began <= call.ended
    assert call.started(latency=1.0) == call.began - 1.0
    body, authorization = upstream.asked[0]
    assert body == {"prompt": call.prompt, "model_code": "m", "stream": True, "priority": "batch"}
    assert authorization == "Bearer k"


async def test_a_stream_that_breaks_off_is_no_answer(upstream: Upstream, callers: Callers) -> None:
    """Text without an end does not count."""
    upstream.pieces = EVENTS[:-1]

    call = await callers.send(Call())

    assert not call.succeeded
    assert call.failure == "the stream broke off"


async def test_an_error_in_a_stream_is_no_answer(upstream: Upstream, callers: Callers) -> None:
    """What it says is kept."""
    upstream.pieces = [*EVENTS[:4], b'event: error\ndata: {"error":{"type":"expired"}}\n\n']

    call = await callers.send(Call())

    assert not call.succeeded
    assert call.failure == 'data: {"error":{"type":"expired"}}'


async def test_a_refusal_says_when_to_come_back(upstream: Upstream, callers: Callers) -> None:
    """Its status and its body are why."""
    upstream.status, upstream.headers, upstream.pieces = 429, {"retry-after": "17"}, [b"later"]

    call = await callers.send(Call(max_wait=5.0))

    assert (call.succeeded, call.failure, call.retry_after) == (False, "429 later", 17.0)
    assert call.waiting.is_set()
    assert call.ended is not None


async def test_a_whole_answer_begins_and_ends_at_once(upstream: Upstream, callers: Callers) -> None:
    """When it was started follows from its end."""
    upstream.pieces = [b'{"text": "a"}']

    call = await callers.send(Call(stream=False))

    assert call.succeeded
    assert call.ended is not None
    assert call.started(latency=0.5) == call.ended - 0.5


async def test_nobody_there_is_told(upstream: Upstream, callers: Callers) -> None:
    """A connection that fails is a task that failed, not an error of the run."""
    upstream.url = "http://127.0.0.1:1"

    call = await callers.send(Call())

    assert call.failure is not None
    assert "ClientConnectorError" in call.failure
    with pytest.raises(ValueError, match="was not started"):
        call.started(latency=0.0)

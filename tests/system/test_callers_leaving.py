"""Callers that go before their answer is there: at once nothing is done for them any more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from callers import calling, post, sse, stream_over_grpc, stream_over_rest, streaming
from dialect import answering, delta, refusal, said
from stack import eventually

from synapse.testing.upstream import HANG, events, head

if TYPE_CHECKING:
    from stack import Stack, Start

    from synapse.testing.upstream import Script

pytestmark = pytest.mark.asyncio(loop_scope="session")

log = logging.getLogger(__name__)

AT_ONCE = 0.5
"""Seconds; on a quiet machine it takes a hundredth of that."""
ONE_SLOT = {"concurrency_multiplier": 1}
DEADLINE = 0.3

Leave = Callable[["Stack", Callable[[], Awaitable[object]]], Awaitable[float]]
"""Asks, leaves as soon as what it is given returns, and tells when that was (`time.monotonic`)."""


async def hang_up_whole(stack: Stack, moment: Callable[[], Awaitable[object]]) -> float:
    """Ask over REST for the whole answer, and drop the connection."""
    return await _drop(post(stack, {"prompt": "Say it.", "model_code": "m"}), moment)


async def hang_up_stream(stack: Stack, moment: Callable[[], Awaitable[object]]) -> float:
    """Ask over REST for a stream, and drop the connection."""
    return await _drop(stream_over_rest(stack), moment)


async def _drop(asking: Awaitable[object], moment: Callable[[], Awaitable[object]]) -> float:
    caller = asyncio.ensure_future(asking)
    await moment()
    caller.cancel()
    left_at = time.monotonic()
    await asyncio.gather(caller, return_exceptions=True)
    return left_at


async def cancel_whole(stack: Stack, moment: Callable[[], Awaitable[object]]) -> float:
    """Ask over gRPC for the whole answer, and cancel the call."""
    return await _cancel(stack, moment, stream=False)


async def cancel_stream(stack: Stack, moment: Callable[[], Awaitable[object]]) -> float:
    """Ask over gRPC for a stream, and cancel the call."""
    return await _cancel(stack, moment, stream=True)


async def _cancel(stack: Stack, moment: Callable[[], Awaitable[object]], *, stream: bool) -> float:
    call = calling(stack, stream=stream)
    reading = asyncio.ensure_future(call.read())
    await moment()
    call.cancel()
    left_at = time.monotonic()
    await asyncio.gather(reading, return_exceptions=True)
    return left_at


async def let_deadline_pass(stack: Stack, moment: Callable[[], Awaitable[object]]) -> float:
    """Ask over gRPC for a stream with a deadline, and let it pass."""
    left_at = time.monotonic() + DEADLINE
    call = calling(stack, deadline=DEADLINE, stream=True)
    reading = asyncio.ensure_future(call.read())
    await moment()
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await reading
    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    return left_at


EVERY_WAY = [hang_up_whole, hang_up_stream, cancel_whole, cancel_stream, let_deadline_pass]


@pytest.mark.parametrize("leave", EVERY_WAY)
async def test_who_leaves_the_queue_is_forgotten(start: Start, leave: Leave) -> None:
    """A task whose caller went while it waited leaves its lane and never reaches the provider."""
    release = asyncio.Event()
    stack = await start([release, *said("First.")], answering("Third."), worker=ONE_SLOT)
    first = asyncio.create_task(stream_over_rest(stack))
    await stack.upstream.called(1)

    left_at = await leave(stack, lambda: eventually(lambda: stack.app.broker.stats().waiting == 1))
    await eventually(lambda: stack.app.broker.stats().waiting == 0)

    assert time.monotonic() - left_at < AT_ONCE
    await eventually(lambda: stack.app.broker.stats().held == 1)
    release.set()
    assert (await first).text == "First."
    assert (await stream_over_rest(stack)).text == "Third."
    assert len(stack.upstream.calls) == 2


@pytest.mark.parametrize("answer", [[HANG], [head(), HANG]], ids=["before the headers", "before the first word"])
@pytest.mark.parametrize("leave", EVERY_WAY)
async def test_who_leaves_before_the_first_word_ends_the_providers_work(
    start: Start, leave: Leave, answer: Script
) -> None:
    """The provider's connection is closed at once, and its slot goes to the next task."""
    stack = await start(answer, answering("Next."), worker=ONE_SLOT)

    left_at = await leave(stack, lambda: stack.upstream.called(1))
    took = await stack.upstream.closed(1) - left_at

    log.info("closed after %.1f ms", took * 1000)
    assert took < AT_ONCE
    await stack.at_rest()
    assert (await stream_over_rest(stack)).text == "Next."


async def test_who_hangs_up_within_a_stream_ends_the_providers_work(start: Start) -> None:
    """Dropping the connection between two words closes the provider's at once."""
    stack = await start([head(), *events(delta("All")), HANG], answering("Next."), worker=ONE_SLOT)

    async with streaming(stack) as response:
        assert (await anext(sse(response))).json == {"text": "All"}
        response.close()
        left_at = time.monotonic()
    took = await stack.upstream.closed(1) - left_at

    log.info("closed after %.1f ms", took * 1000)
    assert took < AT_ONCE
    await stack.at_rest()
    assert (await stream_over_rest(stack)).text == "Next."


@pytest.mark.parametrize("deadline", [None, DEADLINE], ids=["cancel", "deadline"])
async def test_whose_call_ends_within_a_stream_ends_the_providers_work(start: Start, deadline: float | None) -> None:
    """Cancelling the call between two words, or its deadline, closes the provider's connection at once."""
    stack = await start([head(), *events(delta("All")), HANG], answering("Next."), worker=ONE_SLOT)
    began = time.monotonic()

    call = calling(stack, deadline=deadline, stream=True)
    assert (await call.read()).chunk == "All"
    if deadline is None:
        call.cancel()
    left_at = time.monotonic() if deadline is None else began + deadline
    took = await stack.upstream.closed(1) - left_at

    log.info("closed after %.1f ms", took * 1000)
    assert took < AT_ONCE
    await stack.at_rest()
    assert (await stream_over_rest(stack)).text == "Next."


async def test_who_leaves_between_two_attempts_is_forgotten(start: Start) -> None:
    """A task that waits for its next attempt is not tried again when nobody is left who wants it."""
    stack = await start(refusal(503, "busy"), answering("Never."), retry={"base_delay": 3600, "max_delay": 3600})

    await hang_up_stream(stack, lambda: eventually(lambda: stack.app.broker.stats().waiting == 1))

    await stack.at_rest()
    assert len(stack.upstream.calls) == 1


async def test_hundreds_of_callers_leaving_at_once_leave_nothing(start: Start) -> None:
    """Half of them wait and half of them run when they all go; afterwards the server is as it was."""
    stack = await start([head(), *events(delta("All")), HANG], worker={"concurrency_multiplier": 200})
    callers = [asyncio.create_task(ask(stack)) for ask in (stream_over_rest, stream_over_grpc) for _ in range(200)]
    await eventually(lambda: stack.app.broker.stats().held == 400)

    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)

    await stack.at_rest()
    await stack.upstream.until(lambda: stack.upstream.open == 0)


async def test_a_caller_that_dies_while_sending_its_request_leaves_nothing(start: Start) -> None:
    """A body that stops half way is no request."""
    stack = await start(answering("Next."))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.app.http_port)
    writer.write(b'POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{"prompt": "')
    await writer.drain()
    writer.close()

    assert await reader.read() == b""
    await stack.at_rest()
    assert (await stream_over_rest(stack)).text == "Next."
    assert len(stack.upstream.calls) == 1

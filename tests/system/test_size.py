"""Answers without measure, requests without measure, and readers that do not read: memory stays bounded."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import logging
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING

import grpc.aio
import pytest
from callers import calling, encoded, post, stream_over_grpc, stream_over_rest, streaming, whole_over_grpc
from dialect import answering, finished, flood, whole_body
from process import MEGABYTE
from stack import openai

from synapse.testing.upstream import HANG, head, plain

if TYPE_CHECKING:
    from callers import Ask, Server
    from process import Process
    from stack import Launch, Provide, Start


pytestmark = [
    pytest.mark.asyncio(loop_scope="session"),
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc"),
]

log = logging.getLogger(__name__)

EVENTS = 1_000_000
EVENT = b'data: {"text":"ab"}'
LONG = 60_000
"""Events of a stream that no buffer on its way holds."""


def told(process: Process, before: int) -> int:
    """Log and return how much more memory the process has held at its worst, in megabytes."""
    grown = (process.memory() - before) // MEGABYTE
    log.info("%d MB more than before", grown)
    return grown


Drain = Callable[["Server"], Awaitable[int]]
Begin = Callable[["Server"], AsyncGenerator[int, None]]


async def begin_rest(server: Server) -> AsyncGenerator[int, None]:
    """Ask for a stream over REST; read it as far as it is asked for, and yield how many characters came."""
    host, _, port = server.http.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = encoded({"prompt": "Say it.", "model_code": "m", "stream": True})
    writer.write(b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    try:
        while (line := await reader.readline()) != b"0\r\n":
            if line.startswith(b'data: {"text":"'):
                yield line.rindex(b'"', 0, line.find(b",") if b"," in line else None) - len(b'data: {"text":"')
    finally:
        writer.close()


async def begin_grpc(server: Server) -> AsyncGenerator[int, None]:
    """Ask for a stream over gRPC, likewise."""
    call = calling(server, stream=True)
    try:
        while (message := await call.read()) is not grpc.aio.EOF:
            yield len(message.chunk)
    finally:
        call.cancel()


async def drain_rest(server: Server) -> int:
    """Ask for a stream over REST, read it all, and return how many characters came."""
    events, tail = 0, b""
    async with streaming(server) as response:
        async for piece in response.content.iter_any():
            joined = tail + piece
            events += joined.count(EVENT)
            tail = joined[1 - len(EVENT) :]
    return 2 * events


async def drain_grpc(server: Server) -> int:
    """Ask for a stream over gRPC, likewise."""
    return sum([size async for size in begin_grpc(server)])


async def test_a_plain_answer_of_100_mb_passes_over_rest(launch: Launch, provider: Provide) -> None:
    """It takes memory a few times its size while it passes, and none afterwards."""
    text = "0123456789abcdef" * (100 * MEGABYTE // 16)
    upstream = await provider([plain(whole_body(text))], answering("Next."))
    server = await launch({"up": openai(upstream)})
    before = server.memory()

    answer = await post(server, {"prompt": "Say it.", "model_code": "m"})

    assert answer.status == 200
    assert answer.json["text"] == text
    assert told(server, before) < 700
    assert (await stream_over_rest(server)).text == "Next."


async def test_an_answer_too_large_for_grpc_is_an_error_there(launch: Launch, provider: Provide) -> None:
    """A message has 100 MB at most: what is larger ends with a status that says so, and the server goes on."""
    upstream = await provider([plain(whole_body("x" * 102 * MEGABYTE))], answering("Next."))
    server = await launch({"up": openai(upstream)})

    failed = (await whole_over_grpc(server)).failed

    assert failed.type == "payload_too_large"
    assert (await stream_over_grpc(server)).text == "Next."


async def test_an_answer_beyond_all_measure_is_not_even_read(start: Start, ask_whole: Ask) -> None:
    """What announces more than 256 MB is refused before it is in memory."""
    stack = await start([head(content_type="application/json", length=257 * MEGABYTE), HANG], answering("Next."))

    failed = (await ask_whole(stack)).failed

    assert "larger than 256 MB" in failed.message
    await stack.upstream.closed(1)
    assert len(stack.upstream.calls) == 1
    assert (await ask_whole(stack)).text == "Next."


async def test_an_answer_that_does_not_announce_its_measure_is_read_no_further(
    launch: Launch, provider: Provide
) -> None:
    """An answer in chunks is dropped at 256 MB, and so is an event of a stream that never ends."""
    piece = b"%x\r\n%b\r\n" % (MEGABYTE, b"x" * MEGABYTE)
    upstream = await provider(
        [head(content_type="application/json"), [piece] * 400, HANG],
        [head(), [piece] * 400, HANG],
        answering("Next."),
    )
    server = await launch({"up": openai(upstream)})
    before = server.memory()

    whole = (await whole_over_grpc(server)).failed
    streamed = (await stream_over_rest(server)).failed

    assert "larger than 256 MB" in whole.message
    assert "larger than 256 MB" in streamed.message
    assert upstream.connections[0].written < 300 * MEGABYTE
    assert upstream.connections[1].written < 300 * MEGABYTE
    assert told(server, before) < 700
    assert (await stream_over_rest(server)).text == "Next."


@pytest.mark.parametrize("drain", [drain_rest, drain_grpc])
async def test_a_stream_of_a_million_events_passes_in_bounded_memory(
    launch: Launch, provider: Provide, drain: Drain
) -> None:
    """However long a stream is, the server holds only what is on its way."""
    upstream = await provider(
        lambda _: [head(), flood("ab", EVENTS // 10), *finished()], lambda _: [head(), flood("ab", EVENTS), *finished()]
    )
    server = await launch({"up": openai(upstream)})
    await drain(server)  # what is loaded with the first task is loaded now
    before = server.memory()

    assert await drain(server) == 2 * EVENTS

    assert told(server, before) < 30


@pytest.mark.parametrize("begin", [begin_rest, begin_grpc])
async def test_a_reader_that_does_not_read_holds_back_the_provider_and_nobody_else(
    launch: Launch, provider: Provide, begin: Begin
) -> None:
    """What the caller does not take stays with the provider: it has not stalled, and nothing of it is lost.

    Meanwhile others are served, and memory is bounded.
    """
    upstream = await provider(lambda _: [head(), flood("x" * 1000, LONG), *finished()], answering("Somebody else's."))
    server = await launch({"up": openai(upstream)}, providers={"stall_timeout": 0.3, "answer_timeout": 0.3})
    async with contextlib.aclosing(begin(server)) as answer:
        first = await anext(answer)
        before = server.memory()

        await upstream.standstill(0.6)
        assert (await stream_over_rest(server)).text == "Somebody else's."
        assert upstream.connections[0].written < LONG * 1000 // 2
        assert told(server, before) < 60

        assert first + sum([size async for size in answer]) == LONG * 1000
    assert len(upstream.calls) == 2


@pytest.mark.parametrize("begin", [begin_rest, begin_grpc])
async def test_a_reader_that_goes_after_not_reading_leaves_nothing(start: Start, begin: Begin) -> None:
    """A provider that is held back by a slow reader is let go with it."""
    stack = await start(lambda _: [head(), flood("x" * 1000, LONG), *finished()], answering("Next."))
    answer = begin(stack)
    await anext(answer)
    await stack.upstream.standstill(0.2)

    await answer.aclose()

    await stack.upstream.closed(1)
    await stack.at_rest()
    assert (await stream_over_rest(stack)).text == "Next."


def image(size: int) -> bytes:
    """Return so many bytes that begin as a PNG file does."""
    return b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * (size // 256)


async def over_rest(server: Server, data: bytes) -> str:
    """Ask about an image over REST."""
    body = b'{"prompt": "What is it?", "model_code": "m", "images": ["%b"]}' % b64encode(data)
    answer = await post(server, io.BytesIO(body))
    return str(answer.json.get("text", answer.json))


async def over_grpc(server: Server, data: bytes) -> str:
    """Ask about an image over gRPC."""
    return (await server.client.generate(prompt="What is it?", model_code="m", images=[data])).text


@pytest.mark.parametrize(("ask", "size"), [(over_rest, 74 * MEGABYTE), (over_grpc, 95 * MEGABYTE)])
async def test_images_of_nearly_100_mb_reach_the_provider_whole(
    launch: Launch, provider: Provide, ask: Callable[[Server, bytes], Awaitable[str]], size: int
) -> None:
    """A request may have 100 MB: of Base64 over REST, of bytes over gRPC."""
    data = image(size)
    upstream = await provider(answering("A lot."))
    server = await launch({"up": openai(upstream)})

    assert await ask(server, data) == "A lot."

    (call,) = upstream.calls
    ((picture, question),) = [message["content"] for message in json.loads(call.body)["messages"]]
    assert question == {"type": "text", "text": "What is it?"}
    kind, _, content = picture["image_url"]["url"].partition(",")
    assert kind == "data:image/png;base64"
    assert b64decode(content) == data

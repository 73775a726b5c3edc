"""What the log says of ordinary and of bad days."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from callers import calling, post, sse, streaming
from dialect import answering, delta, finished, flood
from stack import openai

from synapse.testing.upstream import CUT, HANG, events, head

if TYPE_CHECKING:
    from process import Process
    from stack import Launch, Provide

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def stopped(server: Process) -> None:
    """Stop the server, and read its log to the end."""
    server.child.terminate()
    assert await server.ended() == 0


async def test_a_task_is_one_line_with_all_that_counts(launch: Launch, provider: Provide) -> None:
    """Who, which model, how it ended, how often it was tried, how long each part took, and the tokens."""
    upstream = await provider([CUT], answering("All is well."))
    server = await launch({"up": openai(upstream)}, retry={"base_delay": 0.001})

    answer = await post(server, {"prompt": "Say it.", "model_code": "m"})
    await stopped(server)

    (line,) = server.events("task")
    assert line["level"] == "info"
    assert (line["id"], line["model"], line["caller"]) == (answer.json["task_id"], "m", "anonymous")
    assert (line["outcome"], line["error"], line["attempts"]) == ("succeeded", None, 2)
    assert (line["input_tokens"], line["output_tokens"]) == (3, 5)
    assert 0 <= float(str(line["queue_ms"])) <= float(str(line["first_token_ms"])) <= float(str(line["total_ms"]))


async def test_callers_that_leave_are_no_errors(launch: Launch, provider: Provide) -> None:
    """However they go: each is a line that says cancelled, and nothing else is said."""
    upstream = await provider(
        *[[head(), *events(delta("All")), HANG]] * 4, lambda _: [head(), flood("x" * 1000, 50_000), *finished()]
    )
    server = await launch({"up": openai(upstream)})

    async with streaming(server) as response:
        await anext(sse(response))
    call = calling(server, stream=True)
    await call.read()
    call.cancel()
    with pytest.raises(Exception, match="Deadline"):
        async for _ in calling(server, stream=True, deadline=0.1):
            pass
    whole = asyncio.create_task(post(server, {"prompt": "Say it.", "model_code": "m", "stream": False}))
    await upstream.called(4)
    whole.cancel()
    slow = calling(server, stream=True)
    await slow.read()
    await upstream.standstill(0.2)
    slow.cancel()
    for number in range(1, 6):
        await upstream.closed(number)
    await stopped(server)

    assert [line["outcome"] for line in server.events("task")] == ["cancelled"] * 5
    assert {line["event"] for line in server.told} == {"ready", "task", "shutting down", "stopped"}

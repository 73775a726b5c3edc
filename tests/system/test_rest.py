"""The REST port, as its callers meet it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from callers import Answer, encoded, post, sse, stream_over_rest, streaming, whole_over_rest
from dialect import USAGE, answering, delta, finished, refusal, said
from stack import eventually, openai

from synapse.testing import FakeClock
from synapse.testing.upstream import CUT, HANG, events, head

if TYPE_CHECKING:
    from stack import Stack, Start

pytestmark = pytest.mark.asyncio(loop_scope="session")

ONE_SLOT = {"concurrency_multiplier": 1}
BODY: dict[str, object] = {"prompt": "Say it.", "model_code": "m"}


async def fetch(stack: Stack, method: str, path: str) -> Answer:
    """Ask for a page."""
    async with stack.caller.request(method, f"{stack.http}{path}") as response:
        headers = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status, headers, await response.read())


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/models", {"models": ["m", "n"]}), ("/healthz", {"status": "ok"}), ("/readyz", {"status": "ready"})],
)
async def test_pages_are_answered_with_their_json(start: Start, path: str, expected: object) -> None:
    """GET gives the page, HEAD its headers alone."""
    stack = await start(models=lambda upstream: {"up": openai(upstream, "m", "n")})

    page, headers = await fetch(stack, "GET", path), await fetch(stack, "HEAD", path)

    assert (page.status, page.json, page.headers["content-type"]) == (200, expected, "application/json")
    assert (headers.status, headers.body) == (200, b"")
    assert headers.headers["content-length"] == str(len(page.body))


async def test_a_whole_answer_has_the_documented_fields(start: Start) -> None:
    """Text, task id, model code, finish reason and usage; the task id stands in a header too."""
    stack = await start(answering("All is well."))

    answer = await post(stack, BODY)

    task_id = answer.headers["x-synapse-task-id"]
    assert task_id.startswith("task_")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == {
        "text": "All is well.",
        "task_id": task_id,
        "model_code": "m",
        "finish_reason": "stop",
        "usage": USAGE,
    }


async def test_a_stream_is_written_line_by_line_as_documented(start: Start) -> None:
    """Each event has its id and its data; the last one has the finish reason and the usage."""
    stack = await start(answering("All is"))

    answer = await post(stack, {**BODY, "stream": True})

    finish = {"text": "", "model_code": "m", "finish_reason": "stop", "usage": USAGE}
    last = json.dumps(finish, separators=(",", ":"))
    assert answer.body.decode() == (
        f'id: 1-1\ndata: {{"text":"All"}}\n\nid: 1-2\ndata: {{"text":" is"}}\n\nid: 1-3\ndata: {last}\n\n'
    )
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-synapse-task-id"].startswith("task_")


async def test_words_are_passed_on_as_they_come(start: Start) -> None:
    """No word waits for the next one."""
    heard = asyncio.Event()
    stack = await start([head(), *events(delta("All")), heard, *events(delta(" is well.")), *finished()])

    async with streaming(stack) as response:
        stream = aiter(sse(response))
        first = await anext(stream)
        heard.set()
        second = await anext(stream)

    assert [first.json, second.json] == [{"text": "All"}, {"text": " is well."}]


async def test_what_is_asked_reaches_the_provider(start: Start) -> None:
    """Every field of the request goes out under the provider's name for it, and the model under its own."""
    stack = await start(
        answering("All is well."),
        models=lambda upstream: {"up": openai(upstream, codes=[{"code": "m", "model": "org/real:free"}])},
    )
    config = {"temperature": 0.7, "top_p": 0.9, "top_k": 40, "output_length": 123}

    await whole_over_rest(stack, prompt="Grüße 👍", config=config)

    assert json.loads(stack.upstream.calls[0].body) == {
        "model": "org/real:free",
        "messages": [{"role": "user", "content": "Grüße 👍"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 40,
        "max_tokens": 123,
    }


async def test_one_connection_carries_one_request_after_another(start: Start) -> None:
    """A caller may keep its connection, after whole answers, streams and errors."""
    stack = await start(answering("All is well."))
    reader, writer = await asyncio.open_connection("127.0.0.1", stack.app.http_port)

    for fields in ({}, {"stream": True}, {"model_code": "none"}, {"prompt": 1}, {}):
        content = encoded({**BODY, **fields})
        writer.write(b"POST /generate HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content))
        start_line = await reader.readline()
        headers = await reader.readuntil(b"\r\n\r\n")
        if b"chunked" in headers:
            assert b'"finish_reason":"stop"' in await reader.readuntil(b"\r\n0\r\n\r\n")
        else:
            length = int(headers.lower().partition(b"content-length: ")[2].split()[0])
            assert len(await reader.readexactly(length)) == length
        assert start_line.startswith(b"HTTP/1.1 ")

    writer.close()
    assert len(stack.upstream.calls) == 3


async def test_the_status_of_a_stream_is_held_back_for_an_early_failure(start: Start, clock: FakeClock) -> None:
    """What fails within two seconds has its own status, streamed or not."""
    fail = asyncio.Event()
    stack = await start([fail, *refusal(400, "too many llamas")], clock=clock)
    asking = asyncio.create_task(post(stack, {**BODY, "stream": True}))
    await stack.upstream.called(1)
    await eventually(lambda: clock.timers == 2)  # of the stream's patience, and of the attempt's watchdog

    await clock.elapse(1.9)
    fail.set()
    answer = await asking

    assert (answer.status, answer.error.type) == (400, "invalid_request")


async def test_a_stream_that_is_silent_for_two_seconds_begins_all_the_same(start: Start, clock: FakeClock) -> None:
    """Then the status is 200, keepalives come, and what fails later comes as an event."""
    fail = asyncio.Event()
    stack = await start([fail, *refusal(400, "too many llamas")], clock=clock, server={"keepalive_seconds": 5})
    asking = asyncio.ensure_future(streaming(stack))
    await stack.upstream.called(1)
    await eventually(lambda: clock.timers == 2)

    await clock.elapse(2.0)
    response = await asking
    stream = aiter(sse(response))
    comments = [await anext(stream)]
    for _ in range(2):
        await clock.elapse(5)
        comments.append(await anext(stream))
    fail.set()
    rest = [event async for event in stream]

    assert response.status == 200
    assert [event.comment for event in comments] == ["keepalive"] * 3
    assert [(event.id, event.event) for event in rest] == [("1-1", "error")]
    assert rest[0].json["error"]["type"] == "invalid_request"  # type: ignore[index]


async def test_a_silent_stream_shows_every_so_often_that_it_lives(start: Start) -> None:
    """Comments come while the provider is silent, and only then."""
    stack = await start([head(), *events(delta("All")), HANG], server={"keepalive_seconds": 0.05})

    async with streaming(stack) as response:
        stream = aiter(sse(response))
        first = [await anext(stream) for _ in range(4)]

    assert first[0].json == {"text": "All"}
    assert [event.comment for event in first[1:]] == ["keepalive"] * 3


async def test_a_waiting_stream_shows_that_it_lives(start: Start, clock: FakeClock) -> None:
    """Comments come while the task waits for its turn as well."""
    release = asyncio.Event()
    stack = await start([release, *said("First.")], answering("Second."), worker=ONE_SLOT, clock=clock)
    first = asyncio.create_task(stream_over_rest(stack))
    await stack.upstream.called(1)
    second = asyncio.ensure_future(streaming(stack))
    await eventually(lambda: stack.app.broker.stats().waiting == 1)

    await clock.elapse(2.0)
    response = await second
    stream = aiter(sse(response))
    comments = [await anext(stream)]
    await clock.elapse(5)
    comments.append(await anext(stream))
    release.set()

    assert response.headers["x-synapse-position"] == "1"
    assert [str(event.comment).partition(" eta=")[0] for event in comments] == ["queued position=1"] * 2
    assert [event.json["text"] async for event in stream] == ["Second.", ""]
    assert (await first).text == "First."


async def occupied(start: Start, **sections: dict[str, object]) -> tuple[Stack, asyncio.Task[object], asyncio.Event]:
    """Start a Synapse whose single slot is taken; return what it is taken by and what ends that."""
    release = asyncio.Event()
    stack = await start([release, *said("First.")], answering("Next."), worker=ONE_SLOT, **sections)
    first: asyncio.Task[object] = asyncio.create_task(stream_over_rest(stack))
    await stack.upstream.called(1)
    return stack, first, release


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        ({"max_wait": 0.05}, {}),
        ({}, {"x-synapse-max-wait": "0.05"}),
        ({"max_wait": 60}, {"x-synapse-max-wait": "0.05"}),
        ({}, {"x-synapse-max-wait": "0"}),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_who_has_waited_long_enough_hears_so(
    start: Start,
    fields: dict[str, object],
    headers: dict[str, str],
    stream: bool,  # noqa: FBT001
) -> None:
    """`max_wait` counts from acceptance to the first attempt; the header is stronger than the body."""
    stack, first, release = await occupied(start)

    answer = await post(stack, {**BODY, **fields, "stream": stream}, headers)

    assert (answer.status, answer.error.type) == (504, "expired")
    assert "max_wait" in answer.error.message
    release.set()
    await first


async def test_who_will_not_wait_is_answered_where_there_is_no_wait(start: Start) -> None:
    """A `max_wait` of 0 means now or never."""
    stack = await start(answering("All is well."))

    assert (await whole_over_rest(stack, max_wait=0)).text == "All is well."


@pytest.mark.parametrize(
    ("fields", "headers"), [({"timeout": 0.2}, {}), ({"timeout": 60}, {"x-synapse-timeout": "0.2"})]
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_task_that_takes_too_long_is_ended(
    start: Start,
    fields: dict[str, object],
    headers: dict[str, str],
    stream: bool,  # noqa: FBT001
) -> None:
    """`timeout` counts from acceptance to the end: the provider is left and the caller told."""
    stack = await start([HANG])

    answer = await post(stack, {**BODY, **fields, "stream": stream}, headers)

    assert (answer.status, answer.error.type) == (504, "timed_out")
    assert "0.2 s" in answer.error.message
    await stack.upstream.closed(1)


async def test_a_task_that_takes_too_long_in_the_queue_is_ended(start: Start) -> None:
    """`timeout` counts in the queue as well."""
    stack, first, release = await occupied(start)

    answer = await post(stack, {**BODY, "timeout": 0.1})

    assert (answer.status, answer.error.type) == (504, "timed_out")
    release.set()
    await first


async def test_a_task_whose_time_is_up_between_two_attempts_is_ended(start: Start) -> None:
    """A back-off does not outlast the task's timeout."""
    stack = await start([CUT], retry={"base_delay": 3600, "max_delay": 3600})

    answer = await post(stack, {**BODY, "timeout": 0.2})

    assert (answer.status, answer.error.type) == (504, "timed_out")


async def test_a_full_queue_refuses_with_a_time_to_come_back(start: Start) -> None:
    """Who cannot even wait gets 429 and `Retry-After`; who waits already is not harmed."""
    stack, first, release = await occupied(start, queue={"max_size": 1})
    second = asyncio.create_task(stream_over_rest(stack))
    await eventually(lambda: stack.app.broker.stats().waiting == 1)

    answer = await post(stack, BODY)

    assert (answer.status, answer.error.type, answer.headers["retry-after"]) == (429, "queue_full", "1")
    assert "queue.max_size" in answer.error.message
    release.set()
    assert (await second).text == "Next."
    await first


async def test_a_slow_model_does_not_block_another(start: Start) -> None:
    """However many tasks of one model hang, another model's tasks run; they take turns for its share of slots."""
    release = asyncio.Event()

    def answer(call: object) -> list[object]:
        slow = b'"slow"' in call.body  # type: ignore[attr-defined]
        return [release, *said("Slow.")] if slow else [*said("Fast.")]

    stack = await start(
        answer,
        models=lambda upstream: {"up": openai(upstream, "slow", "fast")},
        worker={"concurrency_multiplier": 4},
    )
    slow = [asyncio.create_task(stream_over_rest(stack, model="slow")) for _ in range(50)]
    await eventually(lambda: stack.app.broker.stats().waiting == 46)

    fast = await asyncio.gather(*(stream_over_rest(stack, model="fast") for _ in range(20)))

    assert {outcome.text for outcome in fast} == {"Fast."}
    assert sum(task.done() for task in slow) == 0
    release.set()
    assert {outcome.text for outcome in await asyncio.gather(*slow)} == {"Slow."}


async def test_tasks_of_one_model_run_in_the_order_they_came(start: Start) -> None:
    """First come, first served, within a lane."""
    stack, first, release = await occupied(start)
    waiting = []
    for number in range(10):
        waiting.append(asyncio.create_task(stream_over_rest(stack, prompt=f"number {number}")))
        await eventually(lambda number=number: stack.app.broker.stats().waiting == number + 1)  # type: ignore[misc]
    release.set()
    await asyncio.gather(first, *waiting)

    prompts = [json.loads(call.body)["messages"][0]["content"] for call in stack.upstream.calls[1:]]
    assert prompts == [f"number {number}" for number in range(10)]

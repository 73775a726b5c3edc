"""The official `anthropic` package, unchanged, against a whole Synapse."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import anthropic
import pytest
from pydantic import BaseModel

from synapse.domain.caller import Caller
from synapse.domain.events import CallDelta, Delta, Finish, FinishReason, Thought
from synapse.domain.failure import Failure, FailureClass
from synapse.domain.request import Image, Reasoning, Text, Thinking, ToolCall, ToolResult
from synapse.domain.unsupported import Unsupported
from synapse.domain.usage import Usage
from synapse.providers.simulator import SimulatorProvider
from synapse.server.callers import Callers
from synapse.testing.provider import HANG, ScriptedProvider, Step

if TYPE_CHECKING:
    from conftest import Serve, Server
    from synapse.domain.request import Request
    from synapse.providers.base import Provider

ECHO = "sim/echo"
HELLO: list[Any] = [{"role": "user", "content": "Hello there, you"}]
USAGE = Usage(100, 20, 8, 30, 120, 10)
STOP = Finish(FinishReason.STOP, USAGE)
TOOLS: list[Any] = [
    {
        "name": "weather",
        "description": "Of a place.",
        "input_schema": {"type": "object", "properties": {"place": {"type": "string"}}},
    }
]
CALLS = (
    CallDelta(0, "toolu_a", "weather", ""),
    CallDelta(0, arguments='{"pla'),
    CallDelta(0, arguments='ce":"Rome"}'),
    CallDelta(1, "toolu_b", "weather", '{"place":"Oslo"}'),
    Finish(FinishReason.TOOL_CALLS, USAGE),
)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)


class Connect(Protocol):
    """Gives an asynchronous client of a server."""

    async def __call__(self, server: Server, **options: Any) -> anthropic.AsyncAnthropic:  # noqa: ANN401 - its own
        """Make one that does not try again by itself, unless told to."""


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Give what makes clients; they are closed after the test."""
    async with AsyncExitStack() as open_clients:

        async def make(server: Server, **options: Any) -> anthropic.AsyncAnthropic:  # noqa: ANN401
            settings = {"base_url": server.url, "api_key": "key", "max_retries": 0, **options}
            return await open_clients.enter_async_context(anthropic.AsyncAnthropic(**settings))

        yield make


def simulator() -> Provider:
    """Return a provider that says what it is told, at once."""
    return SimulatorProvider(tokens_per_second=0.0, tokens=10)


def scripted(*steps: Step) -> ScriptedProvider:
    """Return a provider of one answer."""
    return ScriptedProvider(steps)


async def test_a_plain_message(serve: Serve, connect: Connect) -> None:
    """Text, usage, reason, and the id of the request, which is that of the task."""
    client = await connect(await serve(simulator(), models=[ECHO]))

    message = await client.messages.create(model=ECHO, max_tokens=50, messages=HELLO)

    assert [block.to_dict() for block in message.content] == [{"type": "text", "text": "Hello there, you"}]
    assert (message.model, message.role, message.stop_reason) == (ECHO, "assistant", "end_turn")
    assert (message.usage.input_tokens, message.usage.output_tokens) == (3, 3)
    assert message._request_id == "task_1"


async def test_a_sync_client_is_answered_alike(serve: Serve) -> None:
    """Plain, streamed by events, and streamed by the helper."""
    server = await serve(SimulatorProvider(tokens_per_second=500, tokens=10), models=[ECHO])

    def talk() -> tuple[anthropic.types.Message, list[str], list[str], anthropic.types.Message]:
        with anthropic.Anthropic(base_url=server.url, api_key="key") as client:
            plain = client.messages.create(model=ECHO, max_tokens=50, messages=HELLO)
            with client.messages.create(model=ECHO, max_tokens=50, messages=HELLO, stream=True) as events:
                kinds = [event.type for event in events]
            with client.messages.stream(model=ECHO, max_tokens=2, messages=HELLO) as stream:
                texts = list(stream.text_stream)
                return plain, kinds, texts, stream.get_final_message()

    plain, kinds, texts, final = await asyncio.to_thread(talk)

    assert plain.content[0].to_dict() == {"type": "text", "text": "Hello there, you"}
    assert kinds == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert texts == ["Hello", " there,"]
    assert (final.stop_reason, final.usage.output_tokens) == ("max_tokens", 2)


async def test_version_2026_10_21_comes_with_bearer_and_sampling_is_taken_all_the_same(
    serve: Serve, connect: Connect
) -> None:
    """The client's own version and header; what it no longer knows of is sent beside its body."""
    caller = Caller("alice")
    provider = scripted("Yes.", STOP)
    server = await serve(provider, callers=Callers({hashlib.sha256(b"alice").digest(): caller}))
    client = await connect(server, api_key="alice")

    answer = await client.messages.with_raw_response.create(
        model="m", max_tokens=50, messages=HELLO, extra_body={"temperature": 0.5, "top_k": 3}
    )

    sent = answer.http_request.headers
    assert (sent["anthropic-version"], sent["authorization"]) == ("2026-10-21", "Bearer alice")
    assert "x-api-key" not in sent
    sampling = provider.calls[0].request.sampling
    assert (sampling.temperature, sampling.top_k, sampling.max_output_tokens) == (0.5, 3, 50)


async def test_the_clients_beta_half_is_answered_too(serve: Serve, connect: Connect) -> None:
    """It asks with `?beta=true` and a header of its own."""
    client = await connect(await serve(simulator(), models=[ECHO]))

    message = await client.beta.messages.create(
        model=ECHO, max_tokens=50, messages=HELLO, betas=["context-1m-2025-08-07"]
    )

    assert message.content[0].to_dict() == {"type": "text", "text": "Hello there, you"}


async def test_usage_at_the_end_stands_for_all_and_excludes_the_cache(serve: Serve, connect: Connect) -> None:
    """The first event has an estimate; what the helper gives at the end is what a plain answer has."""
    client = await connect(await serve(ScriptedProvider(["Yes.", STOP], ["Yes.", STOP])))

    plain = await client.messages.create(model="m", max_tokens=50, messages=HELLO)
    async with client.messages.stream(model="m", max_tokens=50, messages=HELLO) as stream:
        first = await anext(aiter(stream))
        streamed = await stream.get_final_message()

    assert first.type == "message_start"
    assert first.message.usage.input_tokens == 4
    for usage in (plain.usage, streamed.usage):
        assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (60, 30, 10)
        assert usage.output_tokens == 20
        assert usage.output_tokens_details is not None
        assert usage.output_tokens_details.thinking_tokens == 8


@pytest.mark.parametrize("streamed", [False, True])
async def test_two_parallel_calls_go_round(serve: Serve, connect: Connect, streamed: bool) -> None:  # noqa: FBT001
    """The calls come as blocks with objects for input; what is sent back reaches the provider as results of both."""
    provider = ScriptedProvider(CALLS_STEPS, ["It rains in both.", STOP])
    client = await connect(await serve(provider))
    choice: Any = {"type": "any", "disable_parallel_tool_use": False}
    asked: Any = {"model": "m", "max_tokens": 100, "tools": TOOLS, "tool_choice": choice}

    message = await _ask(client, streamed=streamed, messages=HELLO, **asked)
    results = [
        {"type": "tool_result", "tool_use_id": block.id, "content": f"rain in {block.input['place']}"}
        for block in message.content
        if block.type == "tool_use"
    ]
    history = [*HELLO, {"role": "assistant", "content": message.content}, {"role": "user", "content": results}]
    last = await _ask(client, streamed=streamed, messages=history, **asked)

    assert message.stop_reason == "tool_use"
    assert [(b.id, b.name, b.input) for b in message.content if b.type == "tool_use"] == [
        ("toolu_a", "weather", {"place": "Rome"}),
        ("toolu_b", "weather", {"place": "Oslo"}),
    ]
    assert last.content[0].to_dict() == {"type": "text", "text": "It rains in both."}
    _, calls, given = provider.calls[1].request.messages
    assert [(c.id, c.name, json.loads(c.arguments)) for c in calls.parts if isinstance(c, ToolCall)] == [
        ("toolu_a", "weather", {"place": "Rome"}),
        ("toolu_b", "weather", {"place": "Oslo"}),
    ]
    assert given.parts == (
        ToolResult("toolu_a", (Text("rain in Rome"),), "weather"),
        ToolResult("toolu_b", (Text("rain in Oslo"),), "weather"),
    )


CALLS_STEPS: Sequence[Step] = [CALLS]


async def _ask(client: anthropic.AsyncAnthropic, *, streamed: bool, **asked: Any) -> Any:  # noqa: ANN401 - either kind
    if not streamed:
        return await client.messages.create(**asked)
    async with client.messages.stream(**asked) as stream:
        return await stream.get_final_message()


@pytest.mark.parametrize("streamed", [False, True])
async def test_thoughts_come_with_their_signatures_and_go_back_unchanged(
    serve: Serve,
    connect: Connect,
    streamed: bool,  # noqa: FBT001
) -> None:
    """Signed, sealed, and those of providers that sign nothing, whose signature is empty."""
    answer = (
        Thought("Let me "),
        Thought("think."),
        Thought("", "c2lnbmVk"),
        Thought("", redacted="sealed"),
        Thought("Unsigned"),
        Delta("42"),
        CallDelta(0, "toolu_a", "weather", "", "proof"),
        STOP,
    )
    provider = ScriptedProvider([answer], ["Yes.", STOP])
    client = await connect(await serve(provider))
    thinking: Any = {"type": "enabled", "budget_tokens": 2000}
    asked: Any = {"model": "m", "max_tokens": 4000, "tools": TOOLS, "thinking": thinking}

    message = await _ask(client, streamed=streamed, messages=HELLO, **asked)
    history = [
        *HELLO,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_a", "content": "ok"}]},
    ]
    await _ask(client, streamed=streamed, messages=history, **asked)

    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "thinking",
        "text",
        "tool_use",
    ]
    assert [block.signature for block in message.content if block.type == "thinking"] == ["c2lnbmVk", ""]
    assert provider.calls[0].request.reasoning == Reasoning(None, 2000, show=True)
    assert provider.calls[1].request.messages[1].parts == (
        Thinking("Let me think.", "c2lnbmVk"),
        Thinking("", redacted="sealed"),
        Thinking("Unsigned"),
        Text("42"),
        ToolCall("toolu_a", "weather", "{}", "proof"),
    )


class City(BaseModel):
    """A place with many people."""

    name: str
    people: int


async def test_structured_output_is_parsed(serve: Serve, connect: Connect) -> None:
    """By `.parse`, and at the end of a stream; the provider gets the schema."""
    answer = '{"name": "Rome", "people": 2800000}'
    provider = ScriptedProvider([answer, STOP], [answer[:10], answer[10:], STOP])
    client = await connect(await serve(provider))
    asked: Any = {"model": "m", "max_tokens": 100, "messages": HELLO, "output_format": City}

    parsed = await client.messages.parse(**asked)
    async with client.messages.stream(**asked) as stream:
        streamed = await stream.get_final_message()

    assert parsed.parsed_output == streamed.parsed_output == City(name="Rome", people=2800000)
    form = provider.calls[0].request.response_format
    assert form is not None
    assert form.schema is not None
    assert json.loads(bytes(form.schema))["required"] == ["name", "people"]


async def test_an_image_reaches_the_provider(serve: Serve, connect: Connect) -> None:
    """As the bytes it is."""
    provider = scripted("A cat.", STOP)
    client = await connect(await serve(provider))
    source: Any = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgoAAAAAAAAAAA=="}

    await client.messages.create(
        model="m", max_tokens=10, messages=[{"role": "user", "content": [{"type": "image", "source": source}]}]
    )

    assert provider.calls[0].request.messages[0].parts == (Image("image/png", PNG),)


async def test_tokens_are_counted(serve: Serve, connect: Connect) -> None:
    """By an estimate."""
    client = await connect(await serve(simulator(), models=[ECHO]))

    count = await client.messages.count_tokens(model=ECHO, messages=HELLO, tools=TOOLS)

    assert count.input_tokens > 20


def no_thoughts(request: Request, model: str) -> tuple[Unsupported, ...]:
    """Honour all but reasoning."""
    del model
    return (Unsupported("reasoning", "leave it out"),) if request.reasoning is not None else ()


async def test_errors_are_the_clients_own_and_have_request_ids(serve: Serve, connect: Connect) -> None:
    """Each of its class, by the status; a model's, a field's, a key's, and what was not dropped."""
    callers = Callers({hashlib.sha256(b"alice").digest(): Caller("alice", models=frozenset({"m"}))})
    server = await serve(simulator(), models=["m", "n"], callers=callers, unsupported={"up": no_thoughts})
    client, stranger = await connect(server, api_key="alice"), await connect(server)
    asked: Any = {"model": "m", "max_tokens": 10, "messages": HELLO}

    for who, changes, kind in (
        (stranger, {}, anthropic.AuthenticationError),
        (client, {"model": "n"}, anthropic.PermissionDeniedError),
        (client, {"model": "x"}, anthropic.NotFoundError),
        (client, {"max_tokens": -1}, anthropic.BadRequestError),
        (client, {"messages": [{"role": "user", "content": "x" * 1_100_000}]}, anthropic.RequestTooLargeError),
        (client, {"thinking": {"type": "adaptive"}}, anthropic.BadRequestError),
    ):
        with pytest.raises(kind) as caught:
            await who.messages.create(**{**asked, **changes})
        assert caught.value.request_id
        assert caught.value.request_id.startswith("req_")

    assert caught.value.body == {
        "type": "error",
        "error": {
            "type": "invalid_request_error",
            "message": "thinking: the provider of m cannot honour it; leave it out",
        },
        "request_id": caught.value.request_id,
    }


async def test_what_was_dropped_is_told_by_a_header(serve: Serve, connect: Connect) -> None:
    """By the name it has on this port."""
    client = await connect(await serve(ScriptedProvider(["a", STOP], ["b", STOP]), unsupported={"up": no_thoughts}))
    asked: Any = {"model": "m", "max_tokens": 10, "messages": HELLO}
    agree = {"X-Synapse-Drop-Unsupported": "true"}

    one = await client.messages.with_raw_response.create(**asked, thinking={"type": "adaptive"}, extra_headers=agree)
    other = await client.messages.with_raw_response.create(
        **asked, output_config={"effort": "low"}, extra_body={"drop_unsupported": True}
    )

    assert [answer.headers["x-synapse-dropped"] for answer in (one, other)] == ["thinking", "output_config.effort"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_providers_failure_is_raised_once(serve: Serve, connect: Connect, streamed: bool) -> None:  # noqa: FBT001
    """With the task's id. The client does not try again what Synapse has tried as often as makes sense."""
    provider = scripted(Failure(FailureClass.CALLER_FAULT, "too long"))
    client = await connect(await serve(provider), max_retries=2)

    with pytest.raises(anthropic.APIStatusError, match="too long") as caught:
        await _ask(client, streamed=streamed, model="m", max_tokens=10, messages=HELLO)

    assert caught.value.request_id == "task_1"
    assert len(provider.calls) == 1


async def test_a_failure_amid_a_stream_is_raised_with_status_200(serve: Serve, connect: Connect) -> None:
    """There is no other status to have any more."""
    seen = asyncio.Event()
    provider = scripted("Yes", seen, Failure(FailureClass.TRANSIENT, "the line went dead"))
    client = await connect(await serve(provider))

    async with client.messages.stream(model="m", max_tokens=10, messages=HELLO) as stream:
        assert await anext(stream.text_stream) == "Yes"
        seen.set()
        with pytest.raises(anthropic.APIStatusError, match="the line went dead") as caught:
            await stream.until_done()

    assert caught.value.status_code == 200
    assert caught.value.request_id == "task_1"


async def test_a_full_queue_is_a_rate_limit_error(serve: Serve, connect: Connect) -> None:
    """With the time after which it is worth trying again."""
    server = await serve(ScriptedProvider([HANG], [HANG]), max_size=1, slots=1)
    client = await connect(server)
    asked: Any = {"model": "m", "max_tokens": 10, "messages": HELLO}
    waiting = [asyncio.ensure_future(client.messages.create(**asked)) for _ in range(2)]
    while server.broker.stats().waiting < 1:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.001)

    with pytest.raises(anthropic.RateLimitError) as caught:
        await client.messages.create(**asked)

    assert int(caught.value.response.headers["retry-after"]) >= 1
    for each in waiting:
        each.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_breaking_out_of_a_stream_cancels_the_task(serve: Serve, connect: Connect) -> None:
    """The provider's answer is closed at once."""
    provider = scripted("One ", "two ", HANG)
    server = await serve(provider)
    client = await connect(server)

    async with client.messages.stream(model="m", max_tokens=10, messages=HELLO) as stream:
        async for text in stream.text_stream:
            assert text == "One "
            break

    await server.at_rest()
    assert (provider.open, provider.closed_early) == (0, 1)
    assert [end.state for end in server.ends] == ["cancelled"]


async def test_a_queued_stream_is_kept_alive_by_pings(serve: Serve, connect: Connect) -> None:
    """They come while it waits for the only slot, with its place in a comment; the helper passes over them."""
    go = asyncio.Event()
    provider = ScriptedProvider([go, "first", STOP], ["second", STOP], ["third", STOP])
    server = await serve(provider, slots=1, keepalive_seconds=0.05)
    client = await connect(server)
    asked: Any = {"model": "m", "max_tokens": 10, "messages": HELLO}
    first = asyncio.ensure_future(client.messages.create(**asked))
    while not provider.open:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.001)

    async with client.messages.with_streaming_response.create(**asked, stream=True) as response:
        helped = asyncio.ensure_future(_ask(client, streamed=True, **asked))
        pings: list[str] = []
        async for line in response.iter_lines():
            if line.startswith(("event: ping", ": queued position=1")):
                pings.append(line)
            if len(pings) == 4:
                go.set()
    await first

    assert [line.split(" eta")[0] for line in pings[:4]] == [": queued position=1", "event: ping"] * 2
    assert response.headers["x-synapse-position"] == "1"
    assert (await helped).content[0].to_dict() == {"type": "text", "text": "third"}

"""Anthropic's wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anthropic
import msgspec
import pytest

from synapse.simulator import Fault, FaultKind, Options, Quota, Simulator

if TYPE_CHECKING:
    from conftest import Answer, Caller, Serve, Simulate
    from synapse.testing import FakeClock

HEADERS = {"x-api-key": "key-1", "anthropic-version": "2023-06-01"}
PATH = "/v1/messages"
TOOLS = [{"name": "weather", "input_schema": {"type": "object"}}]
BEGIN = "content_block_start"
ENDED = '{"stop_reason":"end_turn","stop_sequence":null,"stop_details":null}'
COUNTS = '"cache_creation_input_tokens":0,"cache_read_input_tokens":0'


def body(prompt: str = "echo hello world", **more: object) -> dict[str, object]:
    """Return a request for text; what is None is left out."""
    fields = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": prompt}], **more}
    return {name: value for name, value in fields.items() if value is not None}


async def ask(caller: Caller, prompt: str = "echo hello world", **more: object) -> Answer:
    """Send a request for text."""
    return await caller.ask(PATH, body(prompt, **more), HEADERS)


def json(answer: Answer) -> Any:  # noqa: ANN401 - whatever the tests look for
    """Return an answer decoded."""
    return msgspec.json.decode(answer.body)


async def test_a_plain_answer_has_blocks_reason_and_usage(simulate: Simulate) -> None:
    """What is empty is null, and the input that no cache had stands alone."""
    answer = await ask(await simulate())

    message = json(answer)
    assert answer.headers["request-id"].startswith("req_")
    assert message.pop("id").startswith("msg_01")
    usage = message.pop("usage")
    assert message == {
        "model": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "hello world"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "stop_details": None,
    }
    assert (usage["input_tokens"], usage["cache_read_input_tokens"], usage["output_tokens"]) == (3, 0, 2)


async def test_a_stream_is_events_with_their_names_in_the_order_of_the_api(simulate: Simulate) -> None:
    """A ping comes after the first block has begun, and there is no mark of the end but `message_stop`."""
    answer = await ask(await simulate(), stream=True)

    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    start, *events, rest = answer.body.decode().split("\n\n")
    assert rest == ""
    assert start.startswith('event: message_start\ndata: {"type":"message_start","message":{"model":"m","id":"msg_01')
    assert '"content":[],"stop_reason":null' in start
    delta, end = (f'event: {name}\ndata: {{"type":"{name}",' for name in ("content_block_delta", "message_delta"))
    assert events == [
        f'event: {BEGIN}\ndata: {{"type":"{BEGIN}","index":0,"content_block":{{"type":"text","text":""}}}}',
        'event: ping\ndata: {"type": "ping"}',
        *[f'{delta}"index":0,"delta":{{"type":"text_delta","text":"{text}"}}}}' for text in ("hello", " world")],
        'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}',
        f'{end}"delta":{ENDED},"usage":{{"input_tokens":3,{COUNTS},"output_tokens":2}}}}',
        'event: message_stop\ndata: {"type":"message_stop"}',
    ]


async def test_pings_come_while_there_is_no_token(simulate: Simulate, clock: FakeClock) -> None:
    """The stream is open from the start, and stays so."""
    caller = await simulate(latency=2.5)
    head = {**HEADERS, "host": "t"}
    data = msgspec.json.encode(body(stream=True))
    async with caller.session.post(caller.url + PATH, data=data, headers=head) as response:
        first = await response.content.readuntil(b"\n\n")
        await clock.elapse(1)
        second = await response.content.readuntil(b"\n\n")

    assert first.startswith(b"event: message_start\n")
    assert second == b'event: ping\ndata: {"type": "ping"}\n\n'


@pytest.mark.parametrize(
    ("change", "reason", "sequence"),
    [
        ({"max_tokens": 1}, "max_tokens", None),
        ({"stop_sequences": ["x", "wor"]}, "stop_sequence", "wor"),
    ],
)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_ends_an_answer_is_told(
    simulate: Simulate,
    change: dict[str, object],
    reason: str,
    sequence: str | None,
    streamed: bool,  # noqa: FBT001
) -> None:
    """The maximum, or a string, which is named."""
    answer = await ask(await simulate(), stream=streamed, **change)

    told = f'"stop_reason":"{reason}","stop_sequence":{msgspec.json.encode(sequence).decode()}'
    assert told in answer.body.decode()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages: text content blocks must be non-empty"),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 10}},
            "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
        ),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            "`max_tokens` must be greater than `thinking.budget_tokens`.",
        ),
    ],
)
async def test_a_request_that_the_api_would_not_take_is_refused(
    simulate: Simulate, change: dict[str, object], message: str
) -> None:
    """In the envelope of an error, with the id of the request in it too; nobody is to try again."""
    answer = await ask(await simulate(), **change)

    told = json(answer)
    assert (answer.status, answer.headers["x-should-retry"]) == (400, "false")
    assert told["request_id"] == answer.headers["request-id"]
    assert (told["type"], told["error"]) == ("error", {"type": "invalid_request_error", "message": message})


async def test_version_2026_10_21_takes_no_sampling_parameters_and_the_older_does(simulate: Simulate) -> None:
    """Without any version the request is refused."""
    caller = await simulate()
    newer = {"authorization": "Bearer key-1", "anthropic-version": "2026-10-21"}

    refused = await caller.ask(PATH, body(temperature=1), newer)
    none = await caller.ask(PATH, body(), {"x-api-key": "key-1"})

    assert (await ask(caller, temperature=1)).status == 200
    assert (await caller.ask(PATH, body(), newer)).status == 200
    assert json(refused)["error"]["message"] == "temperature: Extra inputs are not permitted"
    assert (none.status, json(none)["error"]["message"]) == (400, "anthropic-version: header is required")


@pytest.mark.parametrize("kind", ["429", "500", "503"])
async def test_failures_have_the_apis_statuses(simulate: Simulate, kind: str) -> None:
    """Too much to do is 529."""
    answer = await ask(await simulate(faults=[{"rate": 1, "kind": kind}]))

    expected = {
        "429": (429, "rate_limit_error"),
        "500": (500, "api_error"),
        "503": (529, "overloaded_error"),
    }
    assert (answer.status, json(answer)["error"]["type"]) == expected[kind]


async def test_a_quota_that_is_used_up_is_a_429_that_says_when_to_come_back(simulate: Simulate) -> None:
    """What is left is told with every answer, in the form of a date."""
    caller = await simulate(limits={"rpm": 1, "tpm": 1000})

    first, second = await ask(caller), await ask(caller)

    assert first.headers["anthropic-ratelimit-requests-limit"] == "1"
    assert first.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert first.headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert first.headers["anthropic-ratelimit-input-tokens-remaining"] == "997"
    assert (second.status, json(second)["error"]["type"]) == (429, "rate_limit_error")
    assert 0 < int(second.headers["retry-after"]) <= 60
    assert caller.simulator.stats().quota_429s == 1


async def test_tokens_are_counted_as_the_answer_would_count_them(simulate: Simulate) -> None:
    """System and results of tools included; nothing is counted against a quota."""
    caller = await simulate(limits={"rpm": 1})
    results = [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "four five"}]}]
    asked = {
        "model": "m",
        "system": [{"type": "text", "text": "one two"}],
        "messages": [{"role": "user", "content": "three"}, {"role": "user", "content": results}],
    }
    path = f"{PATH}/count_tokens?beta=true"

    counted = [json(await caller.ask(path, asked, HEADERS)) for _ in range(2)]
    gone = await caller.ask(path, {**asked, "model": "missing"}, HEADERS)
    strange = await caller.ask(path, asked, {**HEADERS, "x-api-key": "invalid"})

    assert counted == [{"input_tokens": 5}] * 2
    assert (gone.status, json(gone)["error"]["message"]) == (404, "model: missing")
    assert strange.status == 401


async def test_models_are_told_apart_from_openais_by_the_version_or_the_path(simulate: Simulate) -> None:
    """Neither route hides the other."""
    caller = await simulate()

    own = json(await caller.get("/v1/models", HEADERS))
    below = json(await caller.get("/anthropic/v1/models/m", {"x-api-key": "k"}))
    other = json(await caller.get("/v1/models", {"authorization": "Bearer k"}))

    assert (own["has_more"], own["data"][0]["type"]) == (False, "model")
    assert (below["type"], below["id"]) == ("model", "m")
    assert other["object"] == "list"
    assert (await caller.get("/v1/models/missing-1", HEADERS)).status == 404


async def test_two_calls_come_as_blocks_and_their_results_are_repeated(serve: Serve) -> None:
    """The official client reads both, streamed too, and what it sends back is answered with the results' text."""
    url = await serve(Simulator(Options(port=0)))
    prompt = 'call weather {"place": "Rome"}\ncall weather {"place": "Oslo"}'
    messages: list[Any] = [{"role": "user", "content": prompt}]
    asked: Any = {"model": "m", "max_tokens": 50, "tools": TOOLS}
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
        plain = await client.messages.create(messages=messages, **asked)
        async with client.messages.stream(messages=messages, **asked) as stream:
            streamed = await stream.get_final_message()
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": f"rain in {block.input['place']}"}
            for block in plain.content
            if block.type == "tool_use"
        ]
        history: list[Any] = [
            *messages,
            {"role": "assistant", "content": plain.content},
            {"role": "user", "content": results},
        ]
        last = await client.messages.create(messages=history, **asked)

    for message in (plain, streamed):
        assert message.stop_reason == "tool_use"
        assert [block.input for block in message.content if block.type == "tool_use"] == [
            {"place": "Rome"},
            {"place": "Oslo"},
        ]
    assert last.content[0].to_dict() == {"type": "text", "text": "rain in Rome\nrain in Oslo"}


async def test_thoughts_are_signed(serve: Serve) -> None:
    """The official client gets the same from a stream as from a plain answer."""
    url = await serve(Simulator(Options(port=0)))
    asked: Any = {
        "model": "m",
        "max_tokens": 2000,
        "messages": [{"role": "user", "content": "echo hi"}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    async with anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0) as client:
        plain = await client.messages.create(**asked)
        async with client.messages.stream(**asked) as stream:
            streamed = await stream.get_final_message()

    for message in (plain, streamed):
        thinking, text = message.content
        assert thinking.type == "thinking"
        assert thinking.thinking
        assert thinking.signature
        assert text.to_dict() == {"type": "text", "text": "hi"}
        assert message.usage.output_tokens == 9


@pytest.mark.parametrize(
    ("key", "model", "options", "kind"),
    [
        ("invalid", "m", Options(port=0), anthropic.AuthenticationError),
        ("k", "missing", Options(port=0), anthropic.NotFoundError),
        ("k", "m", Options(port=0, limits=Quota(rpm=0)), anthropic.RateLimitError),
        ("k", "m", Options(port=0, faults=(Fault(1, FaultKind.UNAVAILABLE),)), anthropic.APIStatusError),
    ],
)
async def test_the_official_client_raises_its_own_errors(
    serve: Serve, key: str, model: str, options: Options, kind: type[anthropic.APIStatusError]
) -> None:
    """With the id of the request."""
    url = await serve(Simulator(options))
    async with anthropic.AsyncAnthropic(base_url=url, api_key=key, max_retries=0) as client:
        with pytest.raises(kind) as raised:
            await client.messages.create(model=model, max_tokens=5, messages=[{"role": "user", "content": "hi"}])

    assert raised.value.request_id is not None
    assert raised.value.request_id.startswith("req_")

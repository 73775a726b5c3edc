"""Tools, schemas, thoughts, pictures and vectors, in each dialect, read by the official clients."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import openai
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given
from hypothesis import strategies as st

from synapse.simulator import Options, Quota, Simulator
from synapse.simulator.calls import ToolCall, read_calls
from synapse.simulator.vectors import packed, vector

if TYPE_CHECKING:
    from conftest import Serve, Simulate

pytestmark = pytest.mark.filterwarnings(
    # google-genai inherits from aiohttp's session, which aiohttp discourages.
    "ignore:Inheritance class AiohttpClientSession from ClientSession is discouraged:DeprecationWarning"
)
dialects = pytest.mark.parametrize("dialect", ["openai", "openrouter"])
streams = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
PREFIXES = {"openai": "/v1", "openrouter": "/api/v1"}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}
TWO_CALLS = 'call weather {"place": "Rome"}\ncall weather {"place": "Oslo"}'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8)

Chat = Callable[..., Awaitable[openai.AsyncOpenAI]]
Gemini = Callable[..., Awaitable[genai.Client]]


@pytest.fixture
async def chat(serve: Serve) -> AsyncIterator[Chat]:
    """Give what makes OpenAI clients."""
    async with AsyncExitStack() as stack:

        async def connect(dialect: str, **options: Any) -> openai.AsyncOpenAI:  # noqa: ANN401 - the simulator's
            url = await serve(Simulator(Options(port=0, **options))) + PREFIXES[dialect]
            return await stack.enter_async_context(openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0))

        yield connect


@pytest.fixture
async def gemini(serve: Serve) -> AsyncIterator[Gemini]:
    """Give what makes Gemini clients."""
    clients: list[genai.Client] = []

    async def connect(**options: Any) -> genai.Client:  # noqa: ANN401 - the simulator's
        http = types.HttpOptions(base_url=await serve(Simulator(Options(port=0, **options))))
        clients.append(genai.Client(api_key="k", http_options=http))
        return clients[-1]

    yield connect
    for client in clients:
        await client.aio.aclose()
        client.close()


def test_calls_are_the_lines_that_a_prompt_begins_with() -> None:
    """Of tools that there are; what follows a line that is none is no call, and without arguments there are none."""
    prompt = 'call a {"x": [1, {"y": 2}]}\ncall b\nand then\ncall a {}'

    assert read_calls(prompt, ["a", "b"]) == (ToolCall("a", '{"x": [1, {"y": 2}]}'), ToolCall("b", "{}"))
    assert read_calls(prompt, ["a", "b"], parallel=False) == (ToolCall("a", '{"x": [1, {"y": 2}]}'),)
    assert read_calls(prompt, ["b"]) == ()
    assert read_calls("call a {broken}", ["a"]) == ()
    assert read_calls("please call a {}", ["a"]) == ()


@given(st.dictionaries(st.text(), st.text() | st.integers()))
def test_fragments_joined_are_the_arguments(arguments: dict[str, object]) -> None:
    """To the letter."""
    text = json.dumps(arguments)

    fragments = ToolCall("a", text).fragments

    assert json.loads(b'"%b"' % b"".join(fragments)) == text


@given(st.text(), st.integers(1, 300))
def test_vectors_have_length_1_and_depend_on_nothing_but_the_text(text: str, dimensions: int) -> None:
    """Packed they are 32-bit floats, the least byte first."""
    made = vector(text, dimensions)

    assert made == vector(text, dimensions) != vector(text + "x", dimensions) or dimensions == 1
    assert math.hypot(*made) == pytest.approx(1, abs=1e-6)
    assert len(packed(made)) == 4 * dimensions


@dialects
@streams
async def test_chat_calls_tools_and_repeats_their_results(chat: Chat, dialect: str, streamed: bool) -> None:  # noqa: FBT001
    """In fragments where it streams; the arguments are just what the prompt has."""
    client = await chat(dialect)
    tool: Any = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    messages: list[Any] = [{"role": "user", "content": TWO_CALLS}]
    asked: Any = {"model": "m", "tools": [tool]}

    if streamed:
        async with client.chat.completions.stream(messages=messages, **asked) as stream:
            kinds = [event.type async for event in stream]
            completion: Any = await stream.get_final_completion()
        assert kinds.count("tool_calls.function.arguments.delta") > 4
    else:
        completion = await client.chat.completions.create(messages=messages, **asked)
    choice = completion.choices[0]
    results = [{"role": "tool", "tool_call_id": call.id, "content": call.id} for call in choice.message.tool_calls]
    said = [call.model_dump(include={"id", "type", "function"}) for call in choice.message.tool_calls]
    messages += [{"role": "assistant", "tool_calls": said}, *results]
    last = await client.chat.completions.create(messages=messages, **asked)

    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    assert [call.function.arguments for call in choice.message.tool_calls] == ['{"place": "Rome"}', '{"place": "Oslo"}']
    assert last.choices[0].message.content == "\n".join(call.id for call in choice.message.tool_calls)


@dialects
async def test_chat_without_tools_or_without_leave_calls_none(chat: Chat, dialect: str) -> None:
    """The prompt is then like any other."""
    client = await chat(dialect)
    tool: Any = {"type": "function", "function": {"name": "weather"}}
    messages: list[Any] = [{"role": "user", "content": TWO_CALLS}]

    without = await client.chat.completions.create(model="m", messages=messages)
    forbidden = await client.chat.completions.create(model="m", messages=messages, tools=[tool], tool_choice="none")

    for answer in (without, forbidden):
        assert answer.choices[0].message.tool_calls is None
        assert answer.choices[0].finish_reason == "stop"


@dialects
async def test_chat_keeps_to_a_schema_and_to_json(chat: Chat, dialect: str) -> None:
    """Whatever the prompt says."""
    client = await chat(dialect)
    form: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    messages: list[Any] = [{"role": "user", "content": "echo no"}]

    schema = await client.chat.completions.create(model="m", messages=messages, response_format=form)
    plain = await client.chat.completions.create(model="m", messages=messages, response_format={"type": "json_object"})

    assert schema.choices[0].message.content == '{"place":"lorem"}'
    assert plain.choices[0].message.content == "{}"


@pytest.mark.parametrize(("dialect", "field"), [("openai", "reasoning_content"), ("openrouter", "reasoning")])
async def test_chat_thinks_where_it_is_asked_to(chat: Chat, dialect: str, field: str) -> None:
    """The thoughts come first, in a field of their own, and are counted apart."""
    client = await chat(dialect)
    asked: Any = {"model": "m", "messages": [{"role": "user", "content": "echo hi"}], "reasoning_effort": "low"}

    plain = await client.chat.completions.create(**asked)
    stream = await client.chat.completions.create(stream=True, **asked)
    deltas = [chunk.choices[0].delta.model_dump() async for chunk in stream if chunk.choices]

    assert plain.choices[0].message.content == "hi"
    assert len(plain.choices[0].message.model_dump()[field].split()) == 8
    assert plain.usage is not None
    assert plain.usage.completion_tokens_details is not None
    assert (plain.usage.completion_tokens, plain.usage.completion_tokens_details.reasoning_tokens) == (9, 8)
    thoughts = [delta[field] for delta in deltas if delta.get(field)]
    assert len(thoughts) == 8
    assert [delta["content"] for delta in deltas if delta.get("content")] == ["hi"]


@dialects
async def test_chat_sees_pictures(chat: Chat, dialect: str) -> None:
    """Their types and lengths; those by address are not fetched; what is no base64 is refused."""
    client = await chat(dialect)
    data = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"

    async def look(*urls: str) -> str | None:
        parts: list[Any] = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
        content = [{"type": "text", "text": "look"}, *parts]
        message: Any = {"role": "user", "content": content}
        return (await client.chat.completions.create(model="m", messages=[message])).choices[0].message.content

    assert await look(data, "https://example.com/a.png") == "image/png of 16 bytes\nhttps://example.com/a.png"
    assert await look() == "nothing"
    with pytest.raises(openai.BadRequestError):
        await look("data:image/png;base64,!")


@dialects
@pytest.mark.parametrize("form", ["float", "base64"])
async def test_openai_embeds(chat: Chat, dialect: str, form: Any) -> None:  # noqa: ANN401 - the client's literal
    """The client unpacks by itself what it asked for by itself; there are 1536 numbers where nobody asks."""
    client = await chat(dialect)

    short = await client.embeddings.create(model="m", input=["a b", "c"], dimensions=8, encoding_format=form)
    long = await client.embeddings.create(model="m", input="a b")

    assert (short.usage.prompt_tokens, [item.index for item in short.data]) == (3, [0, 1])
    if form == "base64":
        assert base64.b64decode(str(short.data[0].embedding)) == packed(vector("a b", 8))
    else:
        assert tuple(short.data[0].embedding) == vector("a b", 8)
    assert len(long.data[0].embedding) == 1536


async def test_embeddings_count_against_quotas_and_are_refused_for_what_is_wrong(simulate: Simulate) -> None:
    """Like any other request; an empty text is none."""
    caller = await simulate(limits={"rpm": 2})
    bearer = {"authorization": "Bearer k"}

    empty = await caller.ask("/v1/embeddings", {"model": "m", "input": ""}, bearer)
    gone = await caller.ask("/v1/embeddings", {"model": "missing", "input": "a"}, bearer)
    statuses = [
        (await caller.ask("/v1/embeddings", {"model": "m", "input": text}, bearer)).status
        for text in ("a", [[1, 2], [3]], [1, 2])
    ]

    assert (empty.status, gone.status, statuses) == (400, 404, [200, 200, 429])
    assert caller.simulator.stats().quota_429s == 1


@streams
@pytest.mark.parametrize(
    ("model", "signed", "ids"), [("gemini-2.5-flash", 0, 0), ("gemini-3-pro-preview", 1, 0), ("gemini-3.5-flash", 1, 2)]
)
async def test_gemini_calls_tools_and_repeats_their_results(
    gemini: Gemini,
    model: str,
    signed: int,
    ids: int,
    streamed: bool,  # noqa: FBT001
) -> None:
    """From 3 on the first call is signed, from 3.5 on each has an id."""
    client = await gemini()
    declared = types.FunctionDeclaration(name="weather", parameters_json_schema=SCHEMA)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[declared])])
    asked = types.Content(role="user", parts=[types.Part(text=TWO_CALLS)])

    if streamed:
        chunks = [
            chunk
            async for chunk in await client.aio.models.generate_content_stream(
                model=model, contents=asked, config=config
            )
        ]
    else:
        chunks = [await client.aio.models.generate_content(model=model, contents=asked, config=config)]
    contents = [chunk.candidates[0].content for chunk in chunks if chunk.candidates]
    parts = [part for content in contents if content is not None for part in content.parts or ()]
    responses = [
        types.Part.from_function_response(name="weather", response={"output": f"rain {number}"}) for number in (1, 2)
    ]
    last = await client.aio.models.generate_content(
        model=model,
        contents=[asked, types.Content(role="model", parts=parts), types.Content(role="user", parts=responses)],
        config=config,
    )

    assert [part.function_call.args for part in parts if part.function_call] == [{"place": "Rome"}, {"place": "Oslo"}]
    assert [bool(part.thought_signature) for part in parts] == [bool(signed), False]
    assert sum(bool(part.function_call and part.function_call.id) for part in parts) == ids
    assert chunks[-1].candidates is not None
    assert chunks[-1].candidates[0].finish_reason is types.FinishReason.STOP
    assert last.text == "rain 1\nrain 2"


@pytest.mark.parametrize("name", ["response_json_schema", "response_schema"])
async def test_gemini_keeps_to_a_schema(gemini: Gemini, name: str) -> None:
    """In either of its two kinds."""
    client = await gemini()
    config = types.GenerateContentConfig.model_validate({"response_mime_type": "application/json", name: SCHEMA})

    answer = await client.aio.models.generate_content(model="m", contents="Where?", config=config)

    assert answer.text == '{"place":"lorem"}'


async def test_gemini_sees_pictures(gemini: Gemini) -> None:
    """Their types and lengths."""
    client = await gemini()
    parts = [types.Part(text="look"), types.Part.from_bytes(data=PNG, mime_type="image/png")]

    answer = await client.aio.models.generate_content(model="m", contents=types.Content(role="user", parts=parts))

    assert answer.text == "image/png of 16 bytes"


async def test_gemini_embeds(gemini: Gemini) -> None:
    """One vector of each text, of 3072 numbers where nobody asks for fewer; quotas count it."""
    client = await gemini(limits=Quota(rpm=2))

    short = await client.aio.models.embed_content(
        model="m", contents=["a", "b"], config=types.EmbedContentConfig(output_dimensionality=8)
    )
    long = await client.aio.models.embed_content(model="m", contents="a")

    assert short.embeddings is not None
    assert long.embeddings is not None
    assert [tuple(each.values or ()) for each in short.embeddings] == [vector("a", 8), vector("b", 8)]
    assert len(long.embeddings[0].values or ()) == 3072
    with pytest.raises(errors.ClientError) as raised:
        await client.aio.models.embed_content(model="m", contents="a")
    assert raised.value.code == 429


async def test_gemini_refuses_vectors_of_another_model_than_the_address_names(simulate: Simulate) -> None:
    """Each text names its model, and they must be the same."""
    caller = await simulate()
    key = {"x-goog-api-key": "k"}
    path = "/v1beta/models/m:batchEmbedContents"
    one = {"model": "models/m", "content": {"parts": [{"text": "a"}]}}

    good = await caller.ask(path, {"requests": [one]}, key)
    statuses = [
        (await caller.ask(path, {"requests": requests}, key)).status
        for requests in (
            [],
            [{**one, "model": "models/x"}],
            [{**one, "text": "a"}],
            [{**one, "content": {"parts": []}}],
        )
    ]

    assert good.status == 200
    assert statuses == [400] * 4


CALL: dict[str, Any] = {"functionCall": {"name": "weather", "args": {}}}
RESULT: dict[str, Any] = {"functionResponse": {"name": "weather", "response": {"output": "rain"}}}


@pytest.mark.parametrize(
    ("model", "call", "results", "fault"),
    [
        ("gemini-3-pro-preview", CALL, [RESULT], "thought_signature"),
        ("gemini-3-pro-preview", {**CALL, "thoughtSignature": "c2ln"}, [RESULT], None),
        ("gemini-2.5-flash", CALL, [RESULT], None),
        ("gemini-2.5-flash", CALL, [RESULT, RESULT], "number of function response parts"),
        ("gemini-2.5-flash", CALL, [{"text": "And?"}], "number of function response parts"),
    ],
)
async def test_gemini_refuses_calls_without_signatures_and_results_that_do_not_fit(
    simulate: Simulate, model: str, call: object, results: list[object], fault: str | None
) -> None:
    """Of calls of the turn that goes on, and from 3 on."""
    contents = [
        {"role": "user", "parts": [{"text": "Does it rain?"}]},
        {"role": "model", "parts": [call]},
        {"role": "user", "parts": results},
    ]

    answer = await (await simulate()).gemini(model=model, contents=contents)

    assert answer.status == (200 if fault is None else 400)
    assert (fault or "rain").encode() in answer.body


ASKED: dict[str, Any] = {"role": "user", "content": "Does it rain?"}
CALLED: dict[str, Any] = {
    "role": "assistant",
    "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}],
}
GIVEN: dict[str, Any] = {"role": "tool", "tool_call_id": "call_1", "content": "rain"}


@pytest.mark.parametrize("dialect", ["openai", "openrouter"])
@pytest.mark.parametrize(
    ("messages", "status"),
    [
        ([ASKED, CALLED, GIVEN], 200),
        ([ASKED, CALLED], 400),
        ([ASKED, CALLED, ASKED], 400),
        ([ASKED, GIVEN], 400),
        ([ASKED, CALLED, {**GIVEN, "tool_call_id": "call_2"}], 400),
        ([ASKED, CALLED, GIVEN, GIVEN], 400),
    ],
)
async def test_chat_refuses_results_that_do_not_fit_the_calls(
    simulate: Simulate, dialect: str, messages: list[object], status: int
) -> None:
    """Each call has one, in the messages right after it."""
    answer = await (await simulate()).call(dialect, messages=messages)

    assert answer.status == status


USES: dict[str, Any] = {
    "role": "assistant",
    "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}],
}
RETURNED: dict[str, Any] = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}
MORE: dict[str, Any] = {"type": "text", "text": "And?"}


@pytest.mark.parametrize(
    ("blocks", "fault"),
    [
        ([RETURNED], None),
        ([RETURNED, MORE], None),
        ([MORE, RETURNED], "without `tool_result` blocks immediately after: toolu_1"),
        ([MORE], "without `tool_result` blocks immediately after: toolu_1"),
        ([{**RETURNED, "tool_use_id": "toolu_2"}], "unexpected `tool_use_id`"),
    ],
)
async def test_anthropic_refuses_results_that_do_not_fit_the_calls(
    simulate: Simulate, blocks: list[object], fault: str | None
) -> None:
    """Each call has one, at the beginning of the next message, before any text."""
    messages = [ASKED, USES, {"role": "user", "content": blocks}]
    headers = {"x-api-key": "k", "anthropic-version": "2023-06-01"}

    answer = await (await simulate()).ask(
        "/v1/messages", {"model": "m", "max_tokens": 9, "messages": messages}, headers
    )

    assert answer.status == (200 if fault is None else 400)
    assert (fault or "rain").encode() in answer.body

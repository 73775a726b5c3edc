"""Requests of every kind, written for servers that speak like OpenAI and read again: nothing is lost.

The reader here is made from OpenAI's description of its API, not from what writes; and OpenAI's own types take it all.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from openai.types import EmbeddingCreateParams
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming,
    CompletionCreateParamsStreaming,
)
from pydantic import TypeAdapter

from synapse.domain.request import (
    Audio,
    Document,
    Embedding,
    Image,
    ImageUrl,
    Message,
    Part,
    Reasoning,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from synapse.domain.tools import Tool, ToolChoice, ToolMode
from synapse.providers.wires import openai

Json = dict[str, Any]

OPEN, CLAUDE = "gpt-4o", "anthropic/claude-sonnet-4.5"
"""A model of OpenAI's, which knows all choices of tools; and one at OpenRouter, which takes its thoughts back."""

# --- what can be asked

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True)
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words
objects = st.dictionaries(words, values, min_size=1, max_size=3)
raws = objects.map(lambda each: msgspec.Raw(json.dumps(each).encode()))
files = st.binary(max_size=10)
numbers = st.floats(-2, 2)
texts = st.builds(Text, words)
marks = st.sampled_from((None, "5m", "1h"))
details = st.sampled_from((None, "auto", "low", "high"))
pictures = st.builds(Image, st.sampled_from(("image/png", "image/jpeg", "image/webp")), files, details)
addresses = st.builds(ImageUrl, names.map("https://x.test/{}".format), details)
recordings = st.builds(Audio, st.sampled_from(("audio/wav", "audio/mpeg")), files)
documents = st.builds(Document, st.just("application/pdf"), files, names)
shown = texts | pictures | addresses | recordings | documents
marked = st.builds(Text, words, marks) | st.builds(ImageUrl, names.map("https://x.test/{}".format), details, marks)
calls = st.builds(ToolCall, st.uuids().map(str), names, objects.map(json.dumps))
thoughts = st.lists(st.builds(Thinking, words, words) | st.builds(Thinking, st.just(""), redacted=names), max_size=2)
nothing = st.builds(list[Thinking])


@st.composite
def conversations(
    draw: st.DrawFn, parts: st.SearchStrategy[Part], thinking: st.SearchStrategy[list[Thinking]]
) -> tuple[Message, ...]:
    """Draw turns that alternate; what tools gave back comes in the order of the calls, before anything else."""
    systems = st.builds(Message, st.just(Role.SYSTEM), st.tuples(texts))
    messages = draw(st.lists(systems, max_size=2))
    messages.append(Message(Role.USER, tuple(draw(st.lists(parts, min_size=1, max_size=3))), draw(st.none() | names)))
    for _ in range(draw(st.integers(0, 2))):
        asked = draw(st.lists(calls, max_size=2))
        said = draw(st.lists(texts, min_size=not asked, max_size=1))
        messages.append(Message(Role.ASSISTANT, (*draw(thinking), *said, *asked)))
        results = [ToolResult(call.id, (draw(texts),), draw(st.none() | names)) for call in asked]
        more = draw(st.lists(parts, min_size=not asked, max_size=2))
        messages.append(Message(Role.USER, (*results, *more)))
    return tuple(messages)


samplings = st.builds(
    Sampling,
    temperature=st.none() | numbers,
    top_p=st.none() | numbers,
    max_output_tokens=st.none() | st.integers(1, 10**6),
    stop=st.lists(words, max_size=4).map(tuple),
    seed=st.none() | st.integers(0, 2**31),
    presence_penalty=st.none() | numbers,
    frequency_penalty=st.none() | numbers,
    logprobs=st.none() | st.integers(0, 20),
)
tools = st.lists(
    st.builds(Tool, names, st.none() | words, st.none() | raws, st.none() | st.booleans()),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)
formats = st.builds(ResponseFormat) | st.builds(
    ResponseFormat, raws, names, st.none() | words, st.none() | st.booleans()
)
efforts = st.sampled_from(("minimal", "low", "medium", "high", "xhigh"))
extras = st.dictionaries(st.sampled_from(("verbosity", "service_tier", "metadata")), raws, min_size=1)


@st.composite
def choices(draw: st.DrawFn, offered: tuple[Tool, ...]) -> ToolChoice:
    """Draw a choice among the tools; one that says of some only has to say what is to be done with them."""
    parallel = draw(st.none() | st.booleans())
    mode = draw(st.none() | st.sampled_from(ToolMode))
    if mode is None or mode is ToolMode.NONE:
        return ToolChoice(mode, parallel=parallel)
    only = draw(st.lists(st.sampled_from([tool.name for tool in offered]), max_size=2, unique=True))
    return ToolChoice(mode, tuple(only), parallel)


@st.composite
def requests(
    draw: st.DrawFn, messages: st.SearchStrategy[tuple[Message, ...]], reasoning: st.SearchStrategy[Reasoning]
) -> Request:
    """Draw a request."""
    offered = draw(st.just(()) | tools)
    return Request(
        "code",
        draw(messages),
        draw(samplings),
        stream=draw(st.booleans()),
        tools=offered,
        tool_choice=draw(st.none() | choices(offered)) if offered else None,
        response_format=draw(st.none() | formats),
        reasoning=draw(st.none() | reasoning),
        safety_user=draw(st.none() | names),
        extras=draw(st.none() | extras),
    )


# --- the reader


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _file(url: str) -> tuple[str, bytes]:
    media_type, _, data = url.removeprefix("data:").partition(";base64,")
    return media_type, b64decode(data)


def _part(part: Json) -> Part:
    mark = part.get("cache_control")
    cache = None if mark is None else mark.get("ttl", "5m")
    match part["type"]:
        case "text":
            return Text(part["text"], cache)
        case "image_url":
            url, detail = part["image_url"]["url"], part["image_url"].get("detail")
            return Image(*_file(url), detail, cache) if url.startswith("data:") else ImageUrl(url, detail, cache)
        case "input_audio":
            sound = part["input_audio"]
            return Audio({"wav": "audio/wav", "mp3": "audio/mpeg"}[sound["format"]], b64decode(sound["data"]))
        case _:
            return Document(*_file(part["file"]["file_data"]), part["file"]["filename"])


def _content(message: Json) -> tuple[Part, ...]:
    content = message["content"]
    if isinstance(content, str):
        return (Text(content),)
    return tuple(_part(part) for part in content or ())


def _thought(detail: Json) -> Thinking:
    assert detail["format"] == "anthropic-claude-v1"
    if detail["type"] == "reasoning.encrypted":
        return Thinking("", redacted=detail["data"])
    return Thinking(detail["text"], detail["signature"])


def _messages(body: Json) -> tuple[Message, ...]:
    found: list[Message] = []
    results: list[ToolResult] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            results.append(ToolResult(message["tool_call_id"], _content(message), message.get("name")))  # type: ignore[arg-type]
            continue
        if results and message["role"] != "user":
            found.append(Message(Role.USER, tuple(results)))
            results = []
        thinking = [_thought(detail) for detail in message.get("reasoning_details", [])]
        asked = [
            ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls", [])
        ]
        parts = (*results, *thinking, *_content(message), *asked)
        found.append(Message(Role(message["role"]), parts, message.get("name")))
        results = []
    return (*found, Message(Role.USER, tuple(results))) if results else tuple(found)


def _tool(tool: Json) -> Tool:
    function = tool["function"]
    schema = function["parameters"]
    nothing = schema == {"type": "object", "properties": {}}
    return Tool(
        function["name"], function.get("description"), None if nothing else _raw(schema), function.get("strict")
    )


def _choice(body: Json) -> ToolChoice | None:
    choice, parallel = body.get("tool_choice"), body.get("parallel_tool_calls")
    if isinstance(choice, str):
        return ToolChoice(ToolMode(choice), parallel=parallel)
    if choice is None:
        return None if parallel is None else ToolChoice(parallel=parallel)
    if choice["type"] == "function":
        return ToolChoice(ToolMode.REQUIRED, (choice["function"]["name"],), parallel)
    allowed = choice["allowed_tools"]
    return ToolChoice(ToolMode(allowed["mode"]), tuple(tool["function"]["name"] for tool in allowed["tools"]), parallel)


def _format(body: Json) -> ResponseFormat | None:
    wanted = body.get("response_format")
    if wanted is None or wanted["type"] == "json_object":
        return None if wanted is None else ResponseFormat()
    schema = wanted["json_schema"]
    return ResponseFormat(_raw(schema["schema"]), schema["name"], schema.get("description"), schema.get("strict"))


def _reasoning(body: Json) -> Reasoning | None:
    if "reasoning_effort" in body:
        return Reasoning(body["reasoning_effort"])
    wanted = body.get("reasoning")
    if wanted is None:
        return None
    return Reasoning(wanted.get("effort"), wanted.get("max_tokens"), False if wanted.get("exclude") else None)


def _sampling(body: Json) -> Sampling:
    return Sampling(
        body.get("temperature"),
        body.get("top_p"),
        body.get("top_k"),
        body.get("max_tokens"),
        tuple(body.get("stop", ())),
        body.get("seed"),
        body.get("presence_penalty"),
        body.get("frequency_penalty"),
        body.get("top_logprobs", 0) if body.get("logprobs") else None,
    )


def _read(body: Json) -> Request:
    extra = {name: _raw(body[name]) for name in ("verbosity", "service_tier", "metadata") if name in body}
    assert body.get("stream_options") == ({"include_usage": True} if body.get("stream") else None)
    return Request(
        "code",
        _messages(body),
        _sampling(body),
        stream=body.get("stream", False),
        tools=tuple(_tool(tool) for tool in body.get("tools", ())),
        tool_choice=_choice(body),
        response_format=_format(body),
        reasoning=_reasoning(body),
        safety_user=body.get("user"),
        extras=extra or None,
    )


def _comparable(request: Request) -> object:
    """Return what a request says, with the JSON in it read; a choice that says nothing is none."""
    if request.tool_choice == ToolChoice():
        request = msgspec.structs.replace(request, tool_choice=None)
    return msgspec.json.decode(msgspec.json.encode(request))


# --- the round trips


@given(requests(conversations(shown, nothing), st.builds(Reasoning, efforts)))
def test_what_is_written_for_openai_says_what_was_asked(request: Request) -> None:
    """Read as OpenAI describes it, the body is the request again."""
    request = msgspec.structs.replace(request, reasoning=None)
    body = json.loads(openai.WIRE.encode(request, OPEN, None).body)

    assert body["model"] == OPEN
    assert _comparable(_read(body)) == _comparable(request)


def _is_known_elsewhere(request: Request) -> bool:
    """Tell whether a choice names some tools alone, which is known to OpenAI's models only."""
    choice = request.tool_choice
    return choice is None or not choice.only or (choice.mode is ToolMode.REQUIRED and len(choice.only) == 1)


@given(
    requests(
        conversations(marked, thoughts),
        st.builds(Reasoning, efforts, show=st.sampled_from((None, False)))
        | st.builds(Reasoning, budget=st.integers(1, 10**5), show=st.sampled_from((None, False))),
    ).filter(_is_known_elsewhere),
    st.none() | st.integers(1, 100),
)
def test_what_is_written_for_openrouter_says_what_was_asked(request: Request, top_k: int | None) -> None:
    """Thoughts, budgets and marks for caches too."""
    request = msgspec.structs.replace(request, sampling=msgspec.structs.replace(request.sampling, top_k=top_k))
    body = json.loads(openai.OPENROUTER.encode(request, CLAUDE, None).body)

    assert _comparable(_read(body)) == _comparable(request)


@given(requests(conversations(shown, nothing), st.builds(Reasoning, efforts)), st.sampled_from(("gpt-5", "o3")))
def test_an_effort_is_written_as_it_was_asked(request: Request, model: str) -> None:
    """Models that think take it; the length of the answer has another name there."""
    body = json.loads(openai.WIRE.encode(request, model, None).body)

    body["max_tokens"] = body.pop("max_completion_tokens", None)
    assert _comparable(_read(body)) == _comparable(request)


# --- OpenAI's own types

PLAIN = TypeAdapter(CompletionCreateParamsNonStreaming)
STREAMED = TypeAdapter(CompletionCreateParamsStreaming)
VECTORS = TypeAdapter(EmbeddingCreateParams)
NAMES_RESULTS = "name"
"""Of a message with a result: OpenAI ignores it, others want it."""


def _walked(value: object) -> object:
    """Return what a type took, to the last item; it leaves out what it does not know."""
    if isinstance(value, dict):
        return {name: _walked(each) for name, each in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    return [_walked(each) for each in value]  # type: ignore[attr-defined]


@given(requests(conversations(shown, nothing), st.builds(Reasoning, efforts)))
def test_openais_own_types_take_every_request(request: Request) -> None:
    """And know every field of it."""
    request = msgspec.structs.replace(request, extras=None)
    body = json.loads(openai.WIRE.encode(request, "gpt-5", None).body)
    for message in body["messages"]:
        if message["role"] == "tool":
            message.pop(NAMES_RESULTS, None)

    taken = (STREAMED if request.stream else PLAIN).validate_python(body)

    assert _walked(taken) == body


@given(st.lists(words, min_size=1, max_size=3).map(tuple), st.none() | st.integers(1, 3072), st.none() | names)
def test_openais_own_types_take_every_request_for_vectors(
    inputs: tuple[str, ...], dimensions: int | None, user: str | None
) -> None:
    """And know every field of it, which says what was asked."""
    assert openai.WIRE.embeddings is not None
    request = Request("code", (), embedding=Embedding(inputs, dimensions), safety_user=user)
    body = json.loads(openai.WIRE.embeddings.encode(request, "text-embedding-3-small", None).body)

    assert _walked(VECTORS.validate_python(body)) == body
    assert (tuple(body["input"]), body.get("dimensions"), body.get("user")) == (inputs, dimensions, user)

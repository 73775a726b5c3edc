"""Requests of every kind, written for Anthropic and read again: nothing is lost.

The reader here is made from Anthropic's description of its API, not from what writes; and Anthropic's own types take
it all.
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import msgspec
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming, MessageCreateParamsStreaming
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from synapse.domain.request import (
    Document,
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
from synapse.providers.wires import anthropic

Json = dict[str, Any]

OLD, NEW = "claude-haiku-4-5", "claude-opus-4-6"
"""One that takes a budget for its thoughts; one that takes an effort."""

# --- what can be asked

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20).filter(str.strip)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,20}", fullmatch=True)
values = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | words
objects = st.dictionaries(words, values, max_size=3)
schemas = st.dictionaries(words, values, min_size=1, max_size=3).map(
    lambda each: msgspec.Raw(json.dumps({"type": "object", "properties": each}).encode())
)
files = st.binary(max_size=10)
marks = st.sampled_from((None, "5m", "1h"))
texts = st.builds(Text, words, marks)
pictures = st.builds(Image, st.sampled_from(("image/png", "image/jpeg", "image/webp", "image/gif")), files, cache=marks)
addresses = st.builds(ImageUrl, names.map("https://x.test/{}".format), cache=marks)
documents = st.builds(Document, st.just("application/pdf"), files, st.none() | names, marks) | st.builds(
    Document, st.just("text/plain"), words.map(str.encode), st.none() | names, marks
)
shown = texts | pictures | addresses | documents
calls = st.builds(ToolCall, names, names, objects.map(json.dumps))
thoughts = st.builds(Thinking, words, names) | st.builds(Thinking, st.just(""), redacted=names)
given_back = st.lists(st.builds(Text, words) | st.builds(Image, st.just("image/png"), files), max_size=2).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Draw turns that alternate; what tools gave back comes in the order of the calls, before anything else."""
    systems = st.builds(Message, st.just(Role.SYSTEM), st.tuples(texts))
    messages = draw(st.lists(systems, max_size=2))
    messages.append(Message(Role.USER, tuple(draw(st.lists(shown, min_size=1, max_size=3)))))
    for _ in range(draw(st.integers(0, 2))):
        asked = draw(st.lists(calls, max_size=2))
        said = draw(st.lists(texts, min_size=not asked, max_size=2))
        messages.append(Message(Role.ASSISTANT, (*draw(st.lists(thoughts, max_size=2)), *said, *asked)))
        results = [ToolResult(call.id, draw(given_back), None, draw(st.booleans()), draw(marks)) for call in asked]
        more = draw(st.lists(shown, min_size=not asked, max_size=2))
        messages.append(Message(Role.USER, (*results, *more)))
    return tuple(messages)


samplings = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 1),
    top_k=st.none() | st.integers(1, 100),
    max_output_tokens=st.integers(33000, 64000),
    stop=st.lists(words, max_size=4).map(tuple),
)
tools = st.lists(
    st.builds(Tool, names, st.none() | words, st.none() | schemas, st.none() | st.booleans(), marks),
    min_size=1,
    max_size=3,
    unique_by=lambda tool: tool.name,
).map(tuple)


@st.composite
def choices(draw: st.DrawFn, offered: tuple[Tool, ...]) -> ToolChoice:
    """Draw a choice among the tools, as far as Anthropic has words for it."""
    mode = draw(st.sampled_from(ToolMode))
    if mode is ToolMode.NONE:
        return ToolChoice(mode)
    only = draw(st.sampled_from(offered)).name
    named = mode is ToolMode.REQUIRED and draw(st.booleans())
    return ToolChoice(mode, (only,) if named else (), draw(st.sampled_from((None, False))))


@st.composite
def requests(draw: st.DrawFn, reasoning: st.SearchStrategy[Reasoning]) -> Request:
    """Draw a request."""
    offered = draw(st.just(()) | tools)
    return Request(
        "code",
        draw(conversations()),
        draw(samplings),
        stream=draw(st.booleans()),
        tools=offered,
        tool_choice=draw(st.none() | choices(offered)) if offered else None,
        response_format=draw(st.none() | st.builds(ResponseFormat, schemas)),
        reasoning=draw(st.none() | reasoning),
        safety_user=draw(st.none() | names),
        extras=draw(st.none() | st.just({"service_tier": msgspec.Raw(b'"auto"')})),
    )


shows = st.sampled_from((None, True, False))
budgets = st.builds(Reasoning, budget=st.integers(1024, 32000), show=shows) | st.just(Reasoning("none"))
efforts = (
    st.builds(Reasoning, st.sampled_from(("low", "medium", "high", "max")), show=shows)
    | st.builds(Reasoning, budget=st.just(-1), show=shows)
    | st.just(Reasoning("none"))
)

# --- the reader


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def _mark(block: Json) -> str | None:
    mark = block.get("cache_control")
    return None if mark is None else mark.get("ttl", "5m")


def _source(block: Json) -> Part:
    source, mark = block["source"], _mark(block)
    if source["type"] == "url":
        return ImageUrl(source["url"], cache=mark)
    if block["type"] == "image":
        return Image(source["media_type"], b64decode(source["data"]), cache=mark)
    data = source["data"].encode() if source["type"] == "text" else b64decode(source["data"])
    return Document(source["media_type"], data, block.get("title"), mark)


def _part(block: Json) -> Part:
    match block["type"]:
        case "text":
            return Text(block["text"], _mark(block))
        case "thinking":
            return Thinking(block["thinking"], block["signature"])
        case "redacted_thinking":
            return Thinking("", redacted=block["data"])
        case "tool_use":
            return ToolCall(block["id"], block["name"], json.dumps(block["input"]))
        case "tool_result":
            content = tuple(_part(inner) for inner in block.get("content", ()))
            return ToolResult(block["tool_use_id"], content, None, block.get("is_error", False), _mark(block))  # type: ignore[arg-type]
        case _:
            return _source(block)


def _messages(body: Json) -> tuple[Message, ...]:
    found = [Message(Role.SYSTEM, (_part(block),)) for block in body.get("system", ())]
    for message in body["messages"]:
        content = message["content"]
        parts = (Text(content),) if isinstance(content, str) else tuple(_part(block) for block in content)
        found.append(Message(Role(message["role"]), parts))
    return tuple(found)


def _choice(body: Json) -> ToolChoice | None:
    choice = body.get("tool_choice")
    if choice is None:
        return None
    modes = {"auto": ToolMode.AUTO, "none": ToolMode.NONE, "any": ToolMode.REQUIRED, "tool": ToolMode.REQUIRED}
    only = (choice["name"],) if choice["type"] == "tool" else ()
    return ToolChoice(modes[choice["type"]], only, False if choice.get("disable_parallel_tool_use") else None)


def _reasoning(body: Json) -> Reasoning | None:
    thinking, effort = body.get("thinking"), body.get("output_config", {}).get("effort")
    if thinking is None:
        return None
    if thinking["type"] == "disabled":
        return Reasoning("none")
    show = {None: None, "summarized": True, "omitted": False}[thinking.get("display")]
    return Reasoning(effort, thinking.get("budget_tokens", -1 if effort is None else None), show)


def _read(body: Json) -> Request:
    schema = body.get("output_config", {}).get("format")
    nothing = {"type": "object", "properties": {}}
    return Request(
        "code",
        _messages(body),
        Sampling(
            body.get("temperature"),
            body.get("top_p"),
            body.get("top_k"),
            body["max_tokens"],
            tuple(body.get("stop_sequences", ())),
        ),
        stream=body.get("stream", False),
        tools=tuple(
            Tool(
                tool["name"],
                tool.get("description"),
                None if tool["input_schema"] == nothing else _raw(tool["input_schema"]),
                tool.get("strict"),
                _mark(tool),
            )
            for tool in body.get("tools", ())
        ),
        tool_choice=_choice(body),
        response_format=None if schema is None else ResponseFormat(_raw(schema["schema"])),
        reasoning=_reasoning(body),
        safety_user=body.get("metadata", {}).get("user_id"),
        extras={"service_tier": _raw(body["service_tier"])} if "service_tier" in body else None,
    )


def _comparable(request: Request) -> object:
    """Return what a request says, with the JSON in it read."""
    built: Json = msgspec.json.decode(msgspec.json.encode(request))
    for message in built["messages"]:
        for part in message["parts"]:
            if part["type"] == "tool_call":
                part["arguments"] = json.loads(part["arguments"])
    return built


# --- the round trips


@given(requests(budgets))
def test_what_is_written_says_what_was_asked(request: Request) -> None:
    """Read as Anthropic describes it, the body is the request again."""
    body = json.loads(anthropic.WIRE.encode(request, OLD, None).body)

    assert body["model"] == OLD
    assert _comparable(_read(body)) == _comparable(request)


@given(requests(efforts))
def test_newer_models_are_told_the_same(request: Request) -> None:
    """With an effort in the place of a budget."""
    body = json.loads(anthropic.WIRE.encode(request, NEW, None).body)

    assert _comparable(_read(body)) == _comparable(request)


# --- Anthropic's own types

PLAIN, STREAMED = TypeAdapter(MessageCreateParamsNonStreaming), TypeAdapter(MessageCreateParamsStreaming)
OLDER = {"temperature", "top_k"}
"""What the version that is asked for takes, and the types of the next one have no longer."""


def _walked(value: object) -> object:
    """Return what a type took, to the last item; it leaves out what it does not know."""
    if isinstance(value, dict):
        return {name: _walked(each) for name, each in value.items()}
    if value is None or isinstance(value, str | int | float):
        return value
    return [_walked(each) for each in value]  # type: ignore[attr-defined]


@given(requests(budgets | efforts), st.sampled_from((OLD, NEW)))
def test_anthropics_own_types_take_every_request(request: Request, model: str) -> None:
    """And know every field of it that is of their version."""
    body = json.loads(anthropic.WIRE.encode(request, model, None).body)

    taken = (STREAMED if request.stream else PLAIN).validate_python(body)

    assert _walked(taken) == {name: value for name, value in body.items() if name not in OLDER}

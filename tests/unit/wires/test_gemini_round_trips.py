"""Requests of every kind, written for Gemini and read again: nothing is lost, and Google's own types take them.

The reader here is made from Google's description of its API, not from what writes.
"""

from __future__ import annotations

import json
from base64 import b64encode
from itertools import pairwise
from typing import Any

import msgspec
from google.genai import types
from hypothesis import given
from hypothesis import strategies as st

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
from synapse.providers.wires import gemini

Json = dict[str, Any]

DUMMY = "skip_thought_signature_validator"
MODELS = (
    "gemini-2.0-flash",
    "gemini-2.5-flash",
    "gemini-2.5-pro",
    "gemini-3-pro-preview",
    "gemini-3.5-flash",
    "gemini-flash-latest",
)

# --- what can be asked

words = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.:-]{0,20}", fullmatch=True)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | words
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=5
)
objects = st.dictionaries(words, values, max_size=3)
signatures = st.binary(min_size=2, max_size=20).map(lambda data: b64encode(b"\x0a\x16\x01" + data).decode())
"""Of the shape that Gemini's have."""
files = st.binary(max_size=10)
images = st.builds(Image, st.sampled_from(("image/png", "image/jpeg", "image/webp")), files)
shown = (
    st.builds(Text, words)
    | images
    | st.builds(ImageUrl, st.just("gs://bucket/a.png"))
    | st.builds(Audio, st.sampled_from(("audio/wav", "audio/mp3")), files)
    | st.builds(Document, st.sampled_from(("application/pdf", "text/plain")), files)
)
calls = st.builds(
    ToolCall,
    st.uuids().map(lambda number: f"call_{number.hex}"),
    names,
    objects.map(json.dumps),
    st.none() | signatures,
)


@st.composite
def answers(draw: st.DrawFn) -> tuple[Part, ...]:
    """Draw thoughts, text and calls, with signatures where Gemini puts them."""
    thoughts = draw(st.lists(st.builds(Thinking, words, signatures), max_size=1))
    texts = draw(st.lists(st.builds(Text, words), max_size=2))
    asked = draw(st.lists(calls, max_size=3))
    end = draw(st.lists(st.builds(Thinking, st.just(""), signatures), max_size=1)) if texts and not asked else []
    return (*thoughts, *texts, *asked, *end) or (Text("."),)


@st.composite
def results(draw: st.DrawFn, call: ToolCall) -> ToolResult:
    """Draw what the tool gave back."""
    given_back = draw(st.builds(Text, words) | objects.map(lambda each: Text(json.dumps(each))))
    return ToolResult(call.id, (given_back,), call.name, draw(st.booleans()))


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """Draw turns that alternate; results come in the order of the calls, before anything else."""
    messages = draw(st.lists(st.builds(Message, st.just(Role.SYSTEM), st.tuples(st.builds(Text, words))), max_size=2))
    messages.append(Message(Role.USER, tuple(draw(st.lists(shown, min_size=1, max_size=3)))))
    for _ in range(draw(st.integers(0, 3))):
        answer = draw(answers())
        messages.append(Message(Role.ASSISTANT, answer))
        back = [draw(results(part)) for part in answer if isinstance(part, ToolCall)]
        messages.append(Message(Role.USER, (*back, *draw(st.lists(shown, min_size=not back, max_size=2)))))
    return tuple(messages)


schemas = st.fixed_dictionaries({"type": st.just("object"), "properties": objects}).map(
    lambda schema: msgspec.Raw(json.dumps(schema).encode())
)
tools = st.lists(
    st.builds(Tool, names, st.none() | words, st.none() | schemas), max_size=3, unique_by=lambda tool: tool.name
)


@st.composite
def choices(draw: st.DrawFn, offered: list[Tool]) -> ToolChoice | None:
    """Draw a choice among the tools that are there."""
    if not offered or draw(st.booleans()):
        return None
    mode = draw(st.sampled_from((ToolMode.AUTO, ToolMode.NONE, ToolMode.REQUIRED)))
    only = draw(st.lists(st.sampled_from([tool.name for tool in offered]), max_size=2, unique=True))
    return ToolChoice(mode, () if mode is ToolMode.NONE else tuple(only))


unit = st.none() | st.floats(0, 1)
samplings = st.builds(
    Sampling,
    temperature=st.none() | st.floats(0, 2),
    top_p=unit,
    top_k=st.none() | st.integers(1, 100),
    max_output_tokens=st.none() | st.integers(1, 2**16),
    stop=st.lists(words, max_size=5).map(tuple),
    seed=st.none() | st.integers(-(2**31), 2**31 - 1),
    presence_penalty=unit,
    frequency_penalty=unit,
    logprobs=st.none() | st.integers(0, 20),
)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    """Draw a whole request."""
    offered = draw(tools)
    return Request(
        "code",
        draw(conversations()),
        draw(samplings),
        tools=tuple(offered),
        tool_choice=draw(choices(offered)),
        response_format=draw(st.none() | st.builds(ResponseFormat, st.none() | schemas)),
    )


# --- what is read


def _sent(request: Request, model: str) -> Json:
    body: Json = json.loads(gemini.WIRE.encode(request, model, None).body)
    return body


def _read_part(part: Json) -> object:
    """Read a part into what can be compared: of arguments and results, their value."""
    signature = part.get("thoughtSignature")
    match part:
        case {"text": text}:
            return ("thought", text, signature) if signature else ("text", text)
        case {"inlineData": {"mimeType": media_type, "data": data}}:
            return "file", media_type, data
        case {"fileData": {"fileUri": url}}:
            return "address", url
        case {"functionCall": call}:
            return "call", call["id"], call["name"], call["args"], None if signature == DUMMY else signature
        case {"functionResponse": back}:
            return "result", back["id"], back["name"], back["response"]
    raise AssertionError(part)


def _read(body: Json) -> list[object]:
    """Read what was said by whom, whatever the turns."""
    said: list[object] = [
        (Role.SYSTEM, ("text", part["text"])) for part in body.get("systemInstruction", {}).get("parts", ())
    ]
    roles = {"user": Role.USER, "model": Role.ASSISTANT}
    said += [(roles[turn["role"]], _read_part(part)) for turn in body["contents"] for part in turn["parts"]]
    return said


def _response(result: ToolResult) -> object:
    (text,) = [part.text for part in result.content if isinstance(part, Text)]
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    value = value if isinstance(value, dict) else text
    if result.is_error:
        return {"error": value}
    return value if isinstance(value, dict) else {"output": value}


def _meant_part(part: Part) -> object:
    match part:
        case Text(text):
            return "text", text
        case Thinking(text, signature):
            return "thought", text, signature
        case ImageUrl(url):
            return "address", url
        case ToolCall(number, name, arguments, signature):
            return "call", number, name, json.loads(arguments), signature
        case ToolResult():
            return "result", part.call_id, part.name, _response(part)
        case _:
            return "file", part.media_type, b64encode(part.data).decode()


def _meant(request: Request) -> list[object]:
    said = [(message.role, _meant_part(part)) for message in request.messages for part in message.parts]
    return sorted(said, key=lambda each: each[0] is not Role.SYSTEM)


@given(conversations(), st.sampled_from(MODELS))
def test_what_was_said_is_read_as_it_was_meant(messages: tuple[Message, ...], model: str) -> None:
    """Every part of every message, with its bytes, its value and its signature, by the one who said it."""
    request = Request("code", messages)

    assert _read(_sent(request, model)) == _meant(request)


@given(conversations(), st.sampled_from(MODELS))
def test_turns_keep_the_rules_of_gemini(messages: tuple[Message, ...], model: str) -> None:
    """Sides alternate but for what follows results, each call has one result right behind it, calls are signed."""
    turns = _sent(Request("code", messages), model)["contents"]

    assert turns[0]["role"] == "user"
    for before, turn in pairwise(turns):
        asked = [part["functionCall"]["id"] for part in before["parts"] if "functionCall" in part]
        back = [part["functionResponse"]["id"] for part in turn["parts"] if "functionResponse" in part]
        assert asked == back
        assert not back or len(back) == len(turn["parts"])
        assert before["role"] != turn["role"] or any("functionResponse" in part for part in before["parts"])
        if asked and model.startswith(("gemini-3", "gemini-flash")):
            first = next(part for part in before["parts"] if "functionCall" in part)
            assert first["thoughtSignature"]


@given(requests(), st.sampled_from(MODELS))
def test_how_to_answer_is_read_as_it_was_meant(request: Request, model: str) -> None:
    """Each choice of sampling, the form, the tools and the choice among them."""
    body = _sent(request, model)
    config, sampling, form = body.get("generationConfig", {}), request.sampling, request.response_format

    assert (
        Sampling(
            config.get("temperature"),
            config.get("topP"),
            config.get("topK"),
            config.get("maxOutputTokens"),
            tuple(config.get("stopSequences", ())),
            config.get("seed"),
            config.get("presencePenalty"),
            config.get("frequencyPenalty"),
            config.get("logprobs", 0) if config.get("responseLogprobs") else None,
        )
        == sampling
    )
    assert config.get("responseMimeType") == (None if form is None else "application/json")
    assert config.get("responseJsonSchema") == (
        None if form is None or form.schema is None else json.loads(bytes(form.schema))
    )
    declared = body["tools"][0]["functionDeclarations"] if "tools" in body else []
    assert [(each["name"], each["description"], each.get("parametersJsonSchema")) for each in declared] == [
        (tool.name, tool.description or "", None if tool.schema is None else json.loads(bytes(tool.schema)))
        for tool in request.tools
    ]
    assert _read_choice(body) == request.tool_choice


def _read_choice(body: Json) -> ToolChoice | None:
    config = body.get("toolConfig", {}).get("functionCallingConfig")
    if config is None:
        return None
    modes = {"AUTO": ToolMode.AUTO, "VALIDATED": ToolMode.AUTO, "NONE": ToolMode.NONE, "ANY": ToolMode.REQUIRED}
    return ToolChoice(modes[config["mode"]], tuple(config.get("allowedFunctionNames", ())))


# --- Google's own types


def check_types(body: Json) -> None:
    """Let Google's types read a request, strictly: every field is known, and of the right type."""
    known: dict[str, type[Any]] = {
        "contents": types.Content,
        "systemInstruction": types.Content,
        "tools": types.Tool,
        "toolConfig": types.ToolConfig,
        "generationConfig": types.GenerationConfig,
    }
    assert set(body) <= set(known)
    for name, value in body.items():
        for each in value if isinstance(value, list) else [value]:
            known[name].model_validate_json(json.dumps(each), strict=True)


reasonings = st.builds(
    Reasoning,
    st.none() | st.sampled_from(("none", "minimal", "low", "medium", "high", "xhigh", "max")),
    st.none() | st.integers(-1, 50_000),
    st.none() | st.booleans(),
)


@given(requests(), reasonings, st.sampled_from(MODELS))
def test_googles_own_types_take_what_is_sent(request: Request, reasoning: Reasoning, model: str) -> None:
    """All of it, in strict mode, where an unknown field is an error; and never a budget beside a level."""
    body = _sent(msgspec.structs.replace(request, reasoning=reasoning), model)

    check_types(body)
    config = body.get("generationConfig", {}).get("thinkingConfig", {})
    assert not {"thinkingBudget", "thinkingLevel"} <= set(config)
    assert "thinkingBudget" not in config or "2.5" in model
    assert "candidateCount" not in body.get("generationConfig", {})


@given(st.lists(images, min_size=1, max_size=2), words)
def test_googles_own_types_take_pictures_of_tools(pictures: list[Image], text: str) -> None:
    """Within the response."""
    call = ToolCall("call_1", "f", "{}")
    messages = (
        Message(Role.USER, (Text("Hi"),)),
        Message(Role.ASSISTANT, (call,)),
        Message(Role.USER, (ToolResult(call.id, (Text(text), *pictures)),)),
    )
    body = _sent(Request("code", messages), "gemini-3-flash-preview")

    check_types(body)
    (part,) = body["contents"][-1]["parts"]
    assert [each["inlineData"]["data"] for each in part["functionResponse"]["parts"]] == [
        b64encode(picture.data).decode() for picture in pictures
    ]


@given(st.lists(words, min_size=1, max_size=5), st.none() | st.integers(1, 4096))
def test_texts_for_vectors_are_read_as_they_were_meant(texts: list[str], dimensions: int | None) -> None:
    """In their order, each with the dimensions."""
    wire = gemini.WIRE.embeddings
    assert wire is not None
    request = Request("code", (), embedding=Embedding(tuple(texts), dimensions))

    sent = json.loads(wire.encode(request, "gemini-embedding-001", None).body)["requests"]

    assert [each["content"]["parts"] for each in sent] == [[{"text": text}] for text in texts]
    assert {each.get("outputDimensionality") for each in sent} == {dimensions}
    for each in sent:
        types.Content.model_validate_json(json.dumps(each["content"]), strict=True)
